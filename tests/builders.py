"""Readable values for tests: a candidate, a row, a job in a ledger, a door to an LMS; override what matters."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from worker import lms
from worker.ledger import batches, importing, intents, jobs, schema
from worker.ledger.batches import PlannedBatch
from worker.ledger.database import open_engine
from worker.ledger.importing import within
from worker.ledger.leases import owner_name
from worker.ledger.rows import ReportedRow, reported_rows
from worker.ledger.transactions import Ledger
from worker.lms.contract import Deed, Enrolment
from worker.lms.http import Door, open_wire
from worker.model import Action, Candidate, Course, JobState, RosterRow, RowStatus
from worker.registration.breaker import Breaker
from worker.registration.context import Desk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from worker.ledger.batches import Claim
    from worker.ledger.intents import Work
    from worker.lms.contract import Connector
    from worker.pace.hints.response import Hints
    from worker.settings import Connection

NORTH = "north"
TOKEN = "sandbox-token"
KEY = "sandbox-key"
SECRET = "sandbox-secret"
#: Another machine, whose processes nobody here can see.
ELSEWHERE = "another-host/77/1000.00"


def a_candidate(number: int = 1, **changes: Any) -> Candidate:
    """Return somebody with an e-mail, a name and a login, which the sandbox's KMI asks for."""
    values = {
        "email": f"person{number}@example.org",
        "first_name": "Ana",
        "last_name": f"Ní {number}",
        "login_name": f"person{number}",
    }
    return Candidate(**{**values, **changes})


def a_course(course_id: str | None = "58", **changes: Any) -> Course:
    """Return a course of legal entity 42."""
    return Course(**{"course_id": course_id, "legal_entity_id": "42", **changes})


def a_row(number: int = 2, candidate: Candidate | None = None, **changes: Any) -> RosterRow:
    """Return a row that registers somebody on a course."""
    values = {
        "row": number,
        "candidate": candidate or a_candidate(number),
        "course": a_course(),
        "behavior": 1,
    }
    return RosterRow(**{**values, **changes})


def as_new(row: RosterRow) -> importing.NewRow:
    """Return a row as the reading of a roster hands it to the ledger."""
    return importing.NewRow(row=row.row, cells=[str(row.row)], parsed=row)


def invalid(number: int) -> importing.NewRow:
    """Return a row that was not understood."""
    return importing.NewRow(
        row=number, cells=["?"], parsed=None, error="Nobody.", code="missing_value", column="email"
    )


def open_ledger(folder: Path, name: str = "roster.db") -> Ledger:
    """Open a real ledger in a file."""
    return Ledger(open_engine(f"sqlite:///{folder / name}"))


def copied_ledger(template: Path, folder: Path) -> Ledger:
    """Open a copy of an empty ledger: migrating a new one takes a tenth of a second."""
    if not template.exists():
        open_ledger(template.parent, template.name).close()
    (folder / "roster.db").write_bytes(template.read_bytes())
    return open_ledger(folder)


def a_job(tx: Any, state: JobState = JobState.RUNNING, **changes: Any) -> int:
    """Open a job."""
    values = {
        "connection": NORTH,
        "system": "tahdah",
        "roster": "tidy.csv",
        "kept_at": "nowhere",
        "fingerprint": "f" * 64,
        "options": {},
        "report_dir": "reports",
        "headings": ["Row"],
    }
    return jobs.open_job(tx, **{**values, "state": state, **changes})


def a_job_of(ledger: Ledger, *roster: RosterRow, size: int = 100, again: bool = False, **changes: Any) -> int:
    """Open a job with these rows, cut into batches of `size` over all courses alike."""
    with ledger.write() as tx:
        job_id = a_job(tx, **changes)
        connection = changes.get("connection", NORTH)
        importing.add_rows(within(tx), job_id, connection, map(as_new, roster), again=again)
        plan(tx, job_id, size)
    return job_id


def plan(tx: Any, job_id: int, size: int = 100) -> list[int]:
    """Put the rows that wait into batches and return the open batches."""
    together: dict[tuple[str, Action], list[int]] = {}
    for row_id, course_key, action in batches.rows_to_plan(tx, job_id):
        together.setdefault((course_key, action), []).append(row_id)
    planned = [
        PlannedBatch(course_key=course, canary=False, row_ids=ids[start : start + size], action=action)
        for (course, action), ids in together.items()
        for start in range(0, len(ids), size)
    ]
    batches.save_plan(tx, job_id, planned)
    return [batch.id for batch in batches.open_batches(tx, job_id)]


def open_batches_of(ledger: Ledger, job_id: int) -> list[batches.OpenBatch]:
    """Return the batches of a job that are not closed."""
    with ledger.read() as tx:
        return batches.open_batches(tx, job_id)


def claimed(ledger: Ledger, job_id: int, owner: str | None = None, *, place: int = 0) -> Claim:
    """Claim an open batch of a job; nobody else has it."""
    batch = open_batches_of(ledger, job_id)[place]
    with ledger.write() as tx:
        claim = batches.claim_batch(tx, batch.id, owner or owner_name())
    assert claim is not None
    return claim


def works_of(ledger: Ledger, claim: Claim) -> list[Work]:
    """Return what is to be worked off under a claim."""
    with ledger.read() as tx:
        return intents.load_work(tx, claim)


def line_of(ledger: Ledger, table: Any, line_id: int) -> Any:
    """Return one line of a table."""
    with ledger.read() as tx:
        return tx.execute(select(table).where(table.c.id == line_id)).one()


def lines_of(ledger: Ledger, table: Any) -> list[Any]:
    """Return all lines of a table, in order."""
    with ledger.read() as tx:
        return list(tx.execute(select(table).order_by(table.c.id)))


def change_lines(ledger: Ledger, table: Any, **values: Any) -> None:
    """Change every line of a table."""
    with ledger.write() as tx:
        tx.execute(update(table).values(**values))


def statuses_of(ledger: Ledger, job_id: int) -> dict[int, RowStatus]:
    """Return what became of each row of a job."""
    with ledger.read() as tx:
        return {line.row: line.status for line in reported_rows(tx, job_id)}


def reported(ledger: Ledger, job_id: int, number: int) -> ReportedRow:
    """Return one row as the report tells it."""
    with ledger.read() as tx:
        return next(line for line in reported_rows(tx, job_id) if line.row == number)


def state_of(ledger: Ledger, job_id: int) -> JobState:
    """Return where a job stands."""
    with ledger.read() as tx:
        job = jobs.find_job(tx, job_id)
    assert job is not None
    return job.state


def counts(ledger: Ledger) -> dict[str, int]:
    """Return how many lines each table of people and registrations has."""
    return {table.name: len(lines_of(ledger, table)) for table in (schema.candidate, schema.registration)}


class _Sleeping:
    """A clock that sleeps hardly at all, so that repeated reads cost no time."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.01))


@dataclass
class FreePace:
    """A pace that lets everybody through at once, but for the pause that an answer asked for; keeps a diary."""

    longest_wait: float = 5.0
    clock: _Sleeping = field(default_factory=_Sleeping)
    diary: list[str] = field(default_factory=list)
    not_before: float = 0.0
    open: int = 0
    lines: list[tuple[str, int]] = field(default_factory=list)

    async def enter(self, lane: str = "", length: int = 0) -> str:
        self.lines.append((lane, length))
        await asyncio.sleep(max(0.0, self.not_before - time.monotonic()))
        self.diary.append("leave given")
        self.open += 1
        return lane

    def give_back(self, pass_: str) -> None:
        self.open -= 1
        self.diary.append("leave given back")

    def leave(self, pass_: str, hints: Hints | None) -> None:
        self.open -= 1
        self.diary.append("pass given back")
        if hints is not None and hints.throttled:
            self.not_before = time.monotonic() + (hints.retry_after or 0.05)


@asynccontextmanager
async def a_door(
    url: str, headers: dict[str, str] | None = None, *, pace: FreePace | None = None, seconds: float = 5.0
) -> AsyncIterator[Door]:
    """Open a door to an address."""
    gate: Any = pace or FreePace()
    wire = open_wire(url, headers or {}, gate, in_flight=8, timeout_seconds=seconds)
    try:
        yield Door(wire=wire, lane="7")
    finally:
        await wire.close()


def raw_connection(system: str, url: str, **changes: Any) -> dict[str, Any]:
    """Return a connection to the sandbox at `url` as roster.toml would have it."""
    kmi = {"base_url": f"{url}/api/v2", "api_key": KEY, "api_secret": SECRET}
    tahdah = {"base_url": url, "token": TOKEN, "legal_entity_id": 42, "behavior": 1}
    return {"system": system, **{"kmi": kmi, "tahdah": tahdah}[system], **changes}


def a_connection(system: str, url: str = "http://127.0.0.1:9", **changes: Any) -> Connection:
    """Return a connection to the sandbox at `url`."""
    return lms.read_connection(NORTH, raw_connection(system, url, **changes))


@asynccontextmanager
async def connected(connection: Connection, pace: FreePace | None = None) -> AsyncIterator[tuple[Connector, Door]]:
    """Connect to the LMS of a connection."""
    seconds = connection.timeout_seconds
    async with a_door(connection.base_url, lms.headers_of(connection), pace=pace, seconds=seconds) as door:
        yield lms.connect(connection, door), door


@asynccontextmanager
async def a_desk(ledger: Ledger, job_id: int, connection: Connection, **changes: Any) -> AsyncIterator[Desk]:
    """Return the desk at which a job is worked off; look-ups are not delayed."""
    async with connected(connection) as (connector, door):
        values = {
            "job_id": job_id,
            "connection": connection.name,
            "owner": owner_name(),
            "ledger": ledger,
            "connector": connector,
            "door": door,
            "breaker": Breaker(connection.breaker),
            "rows_per_call": connector.rules.rows_per_call,
            "lookup_pauses": (0.0, 0.0, 0.0),
        }
        yield Desk(**{**values, **changes})


def enrolments(ids: Sequence[str], **changes: Any) -> list[Enrolment]:
    """Return rows on their way to a registration, numbered from 1."""
    return [
        Enrolment(row_id=number, candidate_id=who, row=a_row(number, **changes), key=f"roster-{who}-{number}")
        for number, who in enumerate(ids, start=1)
    ]


def a_deed_of(action: Action, candidate_id: str, row_id: int = 1, **changes: Any) -> Deed:
    """Return something to be done to somebody, or to their registration on course 58, as `row` has it."""
    row = a_row(row_id, action=action, **changes.pop("row", {}))
    return Deed(**{"row_id": row_id, "action": action, "row": row, "candidate_id": candidate_id, **changes})


async def nothing() -> None:
    """Be an intent that commits nothing."""


@contextmanager
def closing(ledger: Ledger) -> Iterator[Ledger]:
    """Close a ledger at the end of the block."""
    try:
        yield ledger
    finally:
        ledger.close()
