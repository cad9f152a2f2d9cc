"""How many calls a roster takes on each system, beside the least that the API allows; counted, not timed.

Real commands against the sandbox over a socket. `python -m tests.benchmarks.calls [rows]` prints the table that
stands in docs/how-many-calls.md; tests/acceptance/test_how_many_calls.py holds a smaller one.
"""

from __future__ import annotations

import csv
import json
import math
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from worker.sandbox.server import make_state, running

ROSTER = Path(sys.executable).with_name("roster")
#: The LMS is no limit here: what is counted does not depend on how fast it goes.
CONFIGURED = """
[connections.tahdah]
system = "tahdah"
base_url = "{url}"
token = "sandbox-token"
legal_entity_id = 42
behavior = 1
batch_size = {batch}
lookup_pauses = [0.05]

[connections.kmi]
system = "kmi"
base_url = "{url}/api/v2"
api_key = "sandbox-key"
api_secret = "sandbox-secret"
lookup_pauses = [0.05]

[connections.moodle]
system = "moodle"
base_url = "{url}/moodle"
token = "sandbox-moodle-token"
role = 5
lookup_pauses = [0.05]
"""
BATCH, PAGE = 100, 100
#: People in a call of Moodle.
TOGETHER = 50
#: Runs a command, given its words, and returns what it prints as JSON.
Roster = Callable[..., dict[str, Any]]


def new(rows: int, first: int = 1) -> list[dict[str, Any]]:
    """Return people whom the LMS does not have."""
    return [
        {
            "email": f"new{number}@example.com",
            "first_name": "New",
            "last_name": f"Number {number}",
            "login_name": f"new{number}",
            "course_id": "58",
        }
        for number in range(first, first + rows)
    ]


def seeded(rows: int) -> list[dict[str, Any]]:
    """Return people whom the pretend KMI has from the start."""
    return [{"email": f"person{number}@example.com", "course_id": "58"} for number in range(1, rows + 1)]


def elsewhere(people: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the same people on another course."""
    return [row | {"course_id": "59"} for row in people]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A roster to be counted."""

    system: str
    what: str
    #: The roster of so many rows.
    roster: Callable[[int], list[dict[str, Any]]]
    #: The least calls that the API allows for it, given the rows and the rows of a batch.
    least: Callable[[int, int], int]
    #: A roster run before, which is not counted.
    before: Callable[[int], list[dict[str, Any]]] | None = None
    #: What is typed: `run`, or a command about the job that was run before.
    command: str = "run"
    #: How many people the pretend KMI and Moodle have at the start, and whether they are on the course.
    seeds: Callable[[int], int] = lambda _rows: 0
    registered: bool = False


def _batches(rows: int, batch: int) -> int:
    return math.ceil(rows / batch)


CASES = (
    Case(system="tahdah", what="new people", roster=new, least=lambda rows, batch: rows + _batches(rows, batch)),
    Case(
        system="tahdah",
        what="people the ledger knows, on another course",
        before=new,
        roster=lambda rows: elsewhere(new(rows)),
        least=_batches,
    ),
    Case(
        system="tahdah",
        what="half known, half new",
        before=lambda rows: new(rows // 2),
        roster=lambda rows: elsewhere(new(rows)),
        least=lambda rows, batch: rows - rows // 2 + _batches(rows, batch),
    ),
    Case(system="tahdah", what="the same roster again", before=new, roster=new, least=lambda _rows, _batch: 0),
    Case(system="tahdah", what="`roster verify`", before=new, roster=new, command="verify", least=lambda *_: 1),
    Case(system="kmi", what="new people", roster=new, least=lambda rows, _batch: 2 * rows),
    Case(
        system="kmi",
        what="people who are on the LMS, unknown to the ledger",
        roster=seeded,
        seeds=lambda rows: rows,
        least=lambda rows, _batch: rows,
    ),
    Case(
        system="kmi",
        what="half known, half new",
        roster=lambda rows: [*seeded(rows // 2), *new(rows - rows // 2)],
        seeds=lambda rows: rows // 2,
        least=lambda rows, _batch: rows // 2 + 2 * (rows - rows // 2),
    ),
    Case(system="kmi", what="the same roster again", before=new, roster=new, least=lambda _rows, _batch: 0),
    Case(
        system="kmi",
        what="`action` = `complete`, registered by others",
        roster=lambda rows: [row | {"action": "complete"} for row in seeded(rows)],
        seeds=lambda rows: rows,
        registered=True,
        least=lambda rows, _batch: rows,
    ),
    Case(
        system="kmi",
        what="`roster verify`",
        before=new,
        roster=new,
        command="verify",
        least=lambda rows, _batch: math.ceil(rows / PAGE),
    ),
    Case(system="moodle", what="new people", roster=new, least=lambda rows, _batch: 2 * _batches(rows, TOGETHER)),
    Case(
        system="moodle",
        what="people who are on the LMS, unknown to the ledger",
        roster=seeded,
        seeds=lambda rows: rows,
        least=lambda rows, _batch: _batches(rows, TOGETHER),
    ),
    Case(
        system="moodle",
        what="half known, half new",
        roster=lambda rows: [*seeded(rows // 2), *new(rows - rows // 2)],
        seeds=lambda rows: rows // 2,
        least=lambda rows, _batch: _batches(rows, TOGETHER) + _batches(rows - rows // 2, TOGETHER),
    ),
    Case(system="moodle", what="the same roster again", before=new, roster=new, least=lambda _rows, _batch: 0),
    Case(system="moodle", what="`roster verify`", before=new, roster=new, command="verify", least=lambda *_: 1),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What a case took."""

    least: int
    by_operation: Counter[str]

    @property
    def calls(self) -> int:
        """Return all of them."""
        return self.by_operation.total()


def count(case: Case, rows: int, folder: Path, batch: int = BATCH, roster: Roster | None = None) -> Counted:
    """Run a case in an empty folder and count the calls that the pretend LMS saw. Exits when that goes wrong.

    `roster` runs a command in that folder and returns what it prints as JSON; without it, each command is an
    interpreter of its own.
    """
    roster = roster or partial(_type, folder)
    seeds = case.seeds(rows)
    registered = [f"58:1-{seeds}"] if case.registered else []
    world = make_state(seed_users=seeds, moodle_seed_users=seeds, registered=registered)
    with running(world) as url, httpx.Client(base_url=url) as client:
        (folder / "roster.toml").write_text(CONFIGURED.format(url=url, batch=batch), encoding="utf-8")
        job = _run(roster, folder, case.system, case.before(rows)) if case.before else 0
        before = _seen(client)
        if case.command == "run":
            _run(roster, folder, case.system, case.roster(rows))
        else:
            roster(case.command, str(job))
        return Counted(least=case.least(rows, batch), by_operation=_seen(client) - before)


def _run(roster: Roster, folder: Path, system: str, rows: list[dict[str, Any]]) -> int:
    with (folder / "people.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)), restval="")
        writer.writeheader()
        writer.writerows(rows)
    return int(roster("run", "people.csv", "--to", system)["job"])


def _type(folder: Path, *words: str) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ROSTER_")}
    command = [str(ROSTER), *words, "--json", "--quiet"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"roster {' '.join(words)} ended with {done.returncode}: {done.stderr}")
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def _seen(client: httpx.Client) -> Counter[str]:
    calls: Counter[str] = Counter()
    for operations in client.get("/sandbox/state").raise_for_status().json()["calls"].values():
        for operation, statuses in operations.items():
            calls[operation] += sum(statuses.values())
    return calls


def table(rows: int) -> Iterator[str]:
    """Yield the lines of the table, as Markdown."""
    yield f"| system | a roster of {rows:,} | least possible | calls | over | made of |"
    yield "|---|---|---|---|---|---|"
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            counted = count(case, rows, Path(folder))
        made_of = ", ".join(f"{number:,} {operation}" for operation, number in counted.by_operation.most_common())
        over = counted.calls - counted.least
        figures = f"{counted.least:,} | {counted.calls:,} | {over:,}"
        yield f"| {case.system} | {case.what} | {figures} | {made_of or 'none'} |"


def main(rows: int = 1000) -> None:
    """Print the table."""
    for line in table(rows):
        print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:2]))
