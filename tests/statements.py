"""Random jobs against a pretend LMS; after every step every statement of every job must be true.

`python -m tests.statements [ROUNDS] [SEED] [sqlite|postgresql]`: in each round some rosters are run, uploaded,
refused, lost, paused, cancelled, retried, verified, undone, fixed and uploaded again. A round is the same each time
for the same number, as far as calls that are made at the same time come in the same order.
"""

from __future__ import annotations

import csv
import random
import shutil
import ssl
import sys
import tempfile
import traceback
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tests import servers
from tests.conftest import LONGEST_SECONDS, Lms, Office, people, wait_until
from tests.fork_client import ForkServer
from tests.message_receivers import SECRET, a_hook, a_mail_server
from tests.statement_doors import SWEEP_SECONDS, check_messages, message_tables
from tests.statement_model import MOVING, World
from tests.web_server import start_web_server
from worker.ledger.database import open_engine
from worker.sandbox.server import make_state, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Result

STEPS = 9
COURSES = ("58", "58", "58", "59", "60")
SYSTEMS = ("kmi", "north", "academy")
#: People whom the LMS rejects, when they are created and when they are registered.
REJECTED = ("{create}:{refused}:marker=unwelcome", "{register}:{refused}:marker=barred")
#: What may happen to the calls of a step.
FAULTS: dict[str, tuple[list[str], ...]] = {
    "kmi": (
        [],
        [],
        ["{register}:lost-after:p=0.3"],
        ["{create}:lost-after:p=0.3"],
        ["{create}:lost-before:p=0.3", "{register}:lost-before:p=0.3"],
        ["{register}:lost-before"],
        ["{create}:lost-before"],
        ["withdraw:lost-after:p=0.4"],
        ["withdraw:422:p=0.4"],
        ["{register}:422:p=0.4"],
        ["*:throttle:p=0.2:retry-after=0"],
        ["*:401:after=4"],
    ),
    "north": (
        [],
        [],
        ["{register}:lost-after:p=0.3"],
        ["{create}:lost-after:p=0.3"],
        ["{create}:lost-before:p=0.3"],
        ["{register}:lost-before"],
        ["{register}:short:p=0.5"],
        ["{register}:lost-after", "list_registrations:404"],
        ["{create}:422:p=0.4"],
        ["*:401:after=4"],
    ),
    "academy": (
        [],
        [],
        ["{register}:lost-after:p=0.3"],
        ["{create}:lost-after:p=0.3"],
        ["{create}:lost-before:p=0.3", "{register}:lost-before:p=0.3"],
        ["{register}:lost-before"],
        ["{create}:lost-before"],
        ["{create}:dmlwriteexception:p=0.3"],
        ["*:invalidtoken:after=4"],
    ),
}
OPERATIONS = {
    "kmi": {"create": "create_user", "register": "create_registration", "refused": "422"},
    "north": {"create": "create_candidate", "register": "register", "refused": "422"},
    "academy": {"create": "create_users", "register": "enrol_users", "refused": "invalidparameter"},
}
#: Systems that can withdraw a registration.
CAN_UNDO = {"kmi", "academy"}
#: What a person may add to `roster run`.
OPTIONS: tuple[tuple[str, ...], ...] = ((), (), (), ("--again",), ("--update-existing",), ("--course", "58"))


@dataclass
class Round:
    """One office with its jobs."""

    number: int
    world: World
    dice: random.Random
    steps: list[str] = field(default_factory=list)
    taken: int = 0
    people: int = 0
    files: list[Path] = field(default_factory=list)
    #: The rows of earlier jobs that each file fixes, in the order of its rows.
    fixed: dict[Path, list[tuple[int, int]]] = field(default_factory=dict)

    @property
    def office(self) -> Office:
        return self.world.office

    @property
    def jobs(self) -> list[int]:
        return sorted(self.world.rows)

    def play(self, steps: int, *, types_once: bool) -> None:
        """Take the steps; raises AssertionError with the steps so far and the statements that are false.

        `types_once`: commands are asked after the last step alone, the API and the page after every one.
        """
        try:
            for at in range(1, steps + 1):
                self.step(is_typed=at == steps or not types_once)
        except AssertionError as error:
            raise AssertionError("\n".join([f"round {self.number}", *self.steps, str(error)])) from error

    def step(self, *, is_typed: bool) -> None:
        acts: list[tuple[Any, int]] = [(self.run_new, 5)]
        if self.jobs:
            acts += [
                (self.control, 6),
                (self.upload_again, 2),
                (self.run_fixed, 3),
                (self.undo, 3 if self.world.system in CAN_UNDO else 0),
                (self.resolve, 2),
                (self.verify, 1),
            ]
        act = self.dice.choices([act for act, _ in acts], weights=[weight for _, weight in acts])[0]
        rules = self.dice.choice(FAULTS[self.world.system])
        names = OPERATIONS[self.world.system]
        given = [rule.format(**names) for rule in (*REJECTED, *rules)]
        self.world.lms.rules(*given)
        self.steps.append(f"{act.__name__} {' '.join(given[2:])}")
        job = act()
        self.world.note(job)
        self.world.lms.rules(*given[:2])
        self.world.check({job or 0, self.dice.choice(self.jobs or [0])} if is_typed else ())
        self.taken += 1

    def run_new(self) -> int | None:
        """Run or upload a roster of new people, people who were there before, and rows that will be refused."""
        rows = [self._row() for _ in range(self.dice.randint(2, 7))]
        if self.dice.random() < 0.3:
            rows.append(dict(self.dice.choice(rows)))
        if self.dice.random() < 0.12:
            rows = [{**row, "course_id": "999"} for row in rows]
        path = self.office.roster(f"{len(self.files)}.csv", rows)
        self.files.append(path)
        return self._send(path)

    def _row(self) -> dict[str, Any]:
        kind = self.dice.choices(["new", "known", "unwelcome", "barred", "invalid"], weights=[6, 3, 1, 1, 1])[0]
        if kind == "known" and self.people:
            number = self.dice.randint(1, self.people)
        else:
            self.people += 1
            number = self.people
        row = people(1, first=number, login_name=f"login{number}", course_id=self.dice.choice(COURSES))[0]
        if kind in {"unwelcome", "barred"}:
            row["email"] = f"{kind}{number}@example.com"
        return {**row, "email": "nobody"} if kind == "invalid" else row

    def _send(self, path: Path) -> int | None:
        before = set(self.jobs)
        options = self.dice.choice(OPTIONS)
        if options == ("--update-existing",) and self.world.system == "north":
            options = ()  # its roster would be refused, in the words of each door
        job = self._upload(path) if self.dice.random() < 0.3 else self._typed("run", path, *options)
        if job is not None and job not in before:
            for at, row in enumerate(self.fixed.get(path, ()), start=2):
                self.world.fixes.setdefault(row, []).append((job, at))
        return job

    def _upload(self, path: Path) -> int | None:
        with path.open("rb") as file:
            answer = self.world.client.post("/api/jobs", files={"file": file})
        self.steps.append(f"  uploaded {path.name}: {answer.status_code} {answer.text[:200]}")
        if answer.status_code != 202:
            return None
        job: int = answer.json()["id"]
        # The same file again is the open job that it has, whoever drives that.
        self.world.of_workers |= {job} - set(self.jobs)
        return self._rested(job)

    def _rested(self, job: int) -> int:
        client = self.world.client
        wait_until(lambda: client.get(f"/api/jobs/{job}").json()["state"] not in MOVING, f"job {job}")
        return job

    def _ended_at(self, job: int) -> Any:
        return self.world.client.get(f"/api/jobs/{job}").json()["finished_at"]

    def _typed(self, *words: Any) -> int | None:
        """Type a command, which half of the time is paused, cancelled or interrupted. Return its job."""
        interruption = self.dice.choice(["", "", "", "pause", "cancel", "interrupt"])
        if interruption:
            self.world.lms.answer_after(0.15)
        calls = self.world.lms.calls()
        wanted = calls + self.dice.randint(1, 8)
        command = self.office.start(*words, "--json")
        if interruption:
            wait_until(lambda: command.is_over or self.world.lms.calls() >= wanted, "a call")
            self._interrupt(command, interruption)
            self.world.lms.answer_after(0)
        result = command.result()
        self.steps.append(
            f"  {' '.join(map(str, words))} {interruption}: exit {result.code}"
            f" {result.out.strip()[:160]} {result.err.strip()[-300:]}"
        )
        self.world.of_workers -= {self._job_of(result), *(word for word in words if isinstance(word, int))}
        return self._job_of(result)

    def _interrupt(self, command: Any, interruption: str) -> None:
        if command.is_over:
            return
        if interruption == "interrupt":
            command.interrupt()
            return
        running = [job for job in self.office.jobs() if job["state"] in MOVING]
        for job in running:
            self.office.type(interruption, job["job"])

    def _job_of(self, result: Result) -> int | None:
        if result.out.count("\n") != 1:
            return None
        job: int | None = result.json.get("job")
        return job

    def control(self) -> int | None:
        """Resume, retry, pause or cancel a job, by a command or through the API."""
        job = self.dice.choice(self.jobs)
        words = self.dice.choice(
            [("resume",), ("retry",), ("retry", "--rejected"), ("retry", "--rejected"), ("cancel",), ("course",)]
        )
        if words == ("course",):
            self._typed("resume", job, "--course", self.dice.choice(COURSES))
            return job
        if words == ("cancel",):
            result = self.office.type("cancel", job)
            self.steps.append(f"  cancel {job}: exit {result.code} {result.out} {result.err}")
            return job
        if self.dice.random() < 0.3:
            data, ended = {"rejected": "true"} if len(words) > 1 else {}, self._ended_at(job)
            answer = self.world.client.post(f"/api/jobs/{job}/{words[0]}", data=data)
            self.steps.append(f"  API {' '.join(words)} {job}: {answer.status_code} {answer.text[:200]}")
            assert answer.status_code in {200, 409}, answer.text
            rested = self._rested(job)
            # With nothing left to do a job does not end again.
            self.world.of_workers |= {job} if self._ended_at(job) != ended else set()
            return rested
        self._typed(words[0], job, *words[1:])
        return job

    def upload_again(self) -> int | None:
        """Hand a file over that was handed over before."""
        return self._send(self.dice.choice(self.files))

    def run_fixed(self) -> int | None:
        """Correct some rows of a job's failed.csv and run that."""
        candidates = [
            job
            for job in self.jobs
            if any(row.status in {"rejected", "invalid", "not_attempted"} for row in self.world.rows[job])
        ]
        if not candidates:
            return None
        job = self.dice.choice(candidates)
        failed = self.office.type("report", job, "--json").failed
        if not failed or failed[0].get("action") == "withdraw":
            return None
        for row in failed:
            if self.dice.random() < 0.7:
                row["email"] = self._fixed(row)
        path = self.office.folder / f"fixed{len(self.files)}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(failed[0]))
            writer.writeheader()
            writer.writerows(failed)
        self.files.append(path)
        self.fixed[path] = [(job, int(row["_row"])) for row in failed]
        return self._send(path)

    def _fixed(self, row: dict[str, str]) -> str:
        number = row["login_name"].removeprefix("login")
        return people(1, first=int(number))[0]["email"]

    def verify(self) -> int | None:
        """Compare a job with the LMS; nothing that is said to be done may differ."""
        job = self.dice.choice(self.jobs)
        self.world.lms.rules()
        result = self.office.type("verify", job, "--json")
        self.steps.append(
            f"  verify {job}: exit {result.code} {result.out.strip()[-300:]} {result.err.strip()[-300:]}"
        )
        return job

    def undo(self) -> int | None:
        return self._typed("undo", self.dice.choice(self.jobs))

    def resolve(self) -> int | None:
        """Answer for a row in doubt what is so in the LMS."""
        doubts = [(job, row) for job in self.jobs for row in self.world.rows[job] if row.status == "in_doubt"]
        if not doubts:
            return None
        job, row = self.dice.choice(doubts)
        there = [key for key, (email, _) in self.world.people.items() if email == row.email]
        registered = [
            key
            for key, each in self.world.registrations.items()
            if each.is_of(row.pair) and each.withdrawn_by is None
        ]
        if row.cells["_stage"] == "candidate_created":
            answer = ["--registration-id", registered[0]] if registered else ["--absent"]
        else:
            answer = ["--candidate-id", there[0]] if there else ["--absent"]
        result = self.office.type("resolve", job, row.number, *answer)
        self.steps.append(f"  resolve {job} {row.number} {answer}: exit {result.code} {result.out} {result.err}")
        self._typed("resume", job)
        return job


def play(
    number: int,
    folder: Path,
    tls: ssl.SSLContext,
    forks: ForkServer | None,
    *,
    steps: int = STEPS,
    database: str = "",
    types_once: bool = False,
) -> Round:
    """Play one round: on SQLite, or on this PostgreSQL; `types_once` makes it cheaper (`Round.play`)."""
    dice = random.Random(number)  # noqa: S311 - dice
    system = SYSTEMS[number % len(SYSTEMS)]
    with ExitStack() as stack:
        state = make_state(seed=number, lookup="on" if number % 4 < 2 else "404")
        url = stack.enter_context(running(state))
        client = stack.enter_context(httpx.Client(base_url=url, verify=tls, timeout=LONGEST_SECONDS))
        lms = Lms(url, client, state)
        office = Office(folder, lms, fork_server=forks)
        if database:
            office.environment["ROSTER_LEDGER"] = database
        stack.callback(office.close)
        hook, mail = stack.enter_context(a_hook()), stack.enter_context(a_mail_server())
        office.environment |= {"ROSTER_SWEEP_SECONDS": SWEEP_SECONDS, "HOOK_SECRET": SECRET}
        more = {"password": "change"} if system == "academy" else {}
        office.connect(url, system, batch_size=3, max_in_flight=2, lookup_pauses=[0.01, 0.02], **more)
        with (folder / "roster.toml").open("a", encoding="utf-8") as file:
            file.write(message_tables(hook, mail))
        server = start_web_server(office, tls)
        stack.callback(server.close)
        round_ = Round(number, World(lms, office, server.client, system), dice)
        round_.play(steps, types_once=types_once)
        check_messages(round_.world, hook, mail)
        lms.nobody_twice()
    return round_


@contextmanager
def _databases(place: Path) -> Iterator[Callable[[], AbstractContextManager[str]]]:
    """Yield what opens empty ledgers of a PostgreSQL of its own."""
    server = servers.open_postgres(place.with_name(f"{place.name}-postgres"))
    servers.write_without_sync(server)
    template = servers.migrated_database(server)
    try:
        yield lambda: servers.a_database(server, template)
    finally:
        server.cleanup()


def main() -> None:
    """Play rounds until all are done; print the false statements of each."""
    is_postgresql = "postgresql" in sys.argv
    given = [int(word) for word in sys.argv[1:] if word.isdigit()]
    rounds, first = (given + [60, 1][len(given) :])[:2]
    tls, forks = ssl.create_default_context(), ForkServer()
    jobs = steps = statements = wrong = 0
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        database = stack.enter_context(_databases(Path(place))) if is_postgresql else lambda: nullcontext("")
        empty = Path(place) / "roster.db"
        open_engine(f"sqlite:///{empty}").dispose()
        for number in range(first, first + rounds):
            folder = Path(place) / str(number)
            folder.mkdir()
            shutil.copyfile(empty, folder / "roster.db")
            try:
                with database() as url:
                    done = play(number, folder, tls, forks, database=url)
            except Exception:  # noqa: BLE001 - the other rounds are played all the same
                wrong += 1
                print(traceback.format_exc(chain=False), flush=True)  # noqa: T201
                continue
            jobs, steps = jobs + len(done.jobs), steps + done.taken
            statements += done.world.statements
            text = f"{len(done.jobs)} jobs, {done.taken} steps, {done.world.statements} statements"
            print(f"{number:>4}  {done.world.system:<5} {text}", flush=True)  # noqa: T201
    forks.close()
    print(f"{rounds} rounds, {wrong} with false statements; {jobs} jobs, {steps} steps, {statements} statements")  # noqa: T201
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
