"""Readable values for tests: a candidate, a row, a job in a ledger, a client of an LMS; override what matters."""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from worker import lms
from worker.ledger import batches, importing, intents, jobs, schema
from worker.ledger.batches import BatchPlan
from worker.ledger.database import open_engine
from worker.ledger.importing import inside
from worker.ledger.leases import owner_name
from worker.ledger.rows import ReportedRow, reported_rows
from worker.ledger.transactions import Ledger
from worker.lms.contract import ActionRequest, Enrolment
from worker.lms.http import LmsClient, open_session
from worker.model import Action, Candidate, Course, JobState, RosterRow, RowStatus
from worker.registration.breaker import CircuitBreaker
from worker.registration.context import JobContext
from worker.sandbox import systems
from worker.sandbox.server import make_state

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from worker.ledger.batches import Claim
    from worker.ledger.intents import WorkItem
    from worker.lms.contract import Connector
    from worker.pace.hints.response import Hints
    from worker.settings import Connection

NORTH = "north"
TOKEN = "sandbox-token"
KEY = "sandbox-key"
SECRET = "sandbox-secret"
MOODLE_TOKEN = "sandbox-moodle-token"
#: Another machine, whose processes cannot be seen from here.
ELSEWHERE = "another-host/77/1000.00"


def a_candidate(number: int = 1, **changes: Any) -> Candidate:
    """Return a candidate with an e-mail, a name and a login, which the sandbox's KMI asks for."""
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
    """Return a row that registers a candidate on a course."""
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
        row=number, cells=["?"], parsed=None, error="No candidate.", code="missing_value", column="email"
    )


def open_ledger(folder: Path, name: str = "roster.db") -> Ledger:
    """Open a real ledger in a file; a new one is a copy of an empty one."""
    path = folder / name
    if not path.exists():
        path.write_bytes(empty_ledger())
    return Ledger(open_engine(f"sqlite:///{path}"))


@cache
def empty_ledger() -> bytes:
    """Return the file of an empty ledger. All migrations take a third of a second, so they run once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        open_engine(f"sqlite:///{path}").dispose()
        return path.read_bytes()


def a_job(tx: Any, state: JobState = JobState.RUNNING, **changes: Any) -> int:
    """Open a job."""
    values = {
        "connection": NORTH,
        "system": "tahdah",
        "roster": "tidy.csv",
        "stored_path": "nowhere",
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
        importing.add_rows(inside(tx), job_id, connection, map(as_new, roster), again=again)
        plan(tx, job_id, size)
    return job_id


def plan(tx: Any, job_id: int, size: int = 100) -> list[int]:
    """Put the rows that wait into batches and return the open batches."""
    together: dict[tuple[str, Action], list[int]] = {}
    for row_id, course_key, action in batches.rows_to_plan(tx, job_id):
        together.setdefault((course_key, action), []).append(row_id)
    planned = [
        BatchPlan(course_key=course, canary=False, row_ids=ids[start : start + size], action=action)
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
    """Claim an open batch of a job that no other process has claimed."""
    batch = open_batches_of(ledger, job_id)[place]
    with ledger.write() as tx:
        claim = batches.claim_batch(tx, batch.id, owner or owner_name())
    assert claim is not None
    return claim


def items_of(ledger: Ledger, claim: Claim) -> list[WorkItem]:
    """Return what is to be worked off under a claim."""
    with ledger.read() as tx:
        return intents.load_items(tx, claim)


def record_of(ledger: Ledger, table: Any, line_id: int) -> Any:
    """Return one record of a table."""
    with ledger.read() as tx:
        return tx.execute(select(table).where(table.c.id == line_id)).one()


def records_of(ledger: Ledger, table: Any) -> list[Any]:
    """Return all records of a table, in order."""
    with ledger.read() as tx:
        return list(tx.execute(select(table).order_by(table.c.id)))


def change_records(ledger: Ledger, table: Any, **values: Any) -> None:
    """Change every record of a table."""
    with ledger.write() as tx:
        tx.execute(update(table).values(**values))


def statuses_of(ledger: Ledger, job_id: int) -> dict[int, RowStatus]:
    """Return what became of each row of a job."""
    with ledger.read() as tx:
        return {record.row: record.status for record in reported_rows(tx, job_id)}


def reported(ledger: Ledger, job_id: int, number: int) -> ReportedRow:
    """Return one row as the report tells it."""
    with ledger.read() as tx:
        return next(record for record in reported_rows(tx, job_id) if record.row == number)


def state_of(ledger: Ledger, job_id: int) -> JobState:
    """Return the state of a job."""
    with ledger.read() as tx:
        job = jobs.find_job(tx, job_id)
    assert job is not None
    return job.state


def counts(ledger: Ledger) -> dict[str, int]:
    """Return how many records each table of people and registrations has."""
    return {table.name: len(records_of(ledger, table)) for table in (schema.candidate, schema.registration)}


class _Sleeping:
    """A clock that hardly sleeps, so that repeated reads take no time."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.01))


@dataclass
class UnlimitedLimiter:
    """A rate limiter that grants every permit at once, except for pauses that a response asked for; logs events."""

    longest_wait: float = 5.0
    clock: _Sleeping = field(default_factory=_Sleeping)
    events: list[str] = field(default_factory=list)
    not_before: float = 0.0
    open_permits: int = 0
    requests: list[tuple[str, int]] = field(default_factory=list)

    async def acquire(self, queue: str = "", rows_left: int = 0) -> str:
        self.requests.append((queue, rows_left))
        await asyncio.sleep(max(0.0, self.not_before - time.monotonic()))
        self.events.append("acquired")
        self.open_permits += 1
        return queue

    def cancel(self, permit: str) -> None:
        self.open_permits -= 1
        self.events.append("cancelled")

    def release(self, permit: str, hints: Hints | None) -> None:
        self.open_permits -= 1
        self.events.append("released")
        if hints is not None and hints.throttled:
            self.not_before = time.monotonic() + (hints.retry_after or 0.05)

    async def flush(self) -> None:
        """Write nothing: every permit was returned at once."""


@asynccontextmanager
async def a_client(
    url: str,
    headers: dict[str, str] | None = None,
    *,
    limiter: UnlimitedLimiter | None = None,
    seconds: float = 5.0,
) -> AsyncIterator[LmsClient]:
    """Open a client of an address."""
    any_limiter: Any = limiter or UnlimitedLimiter()
    session = open_session(url, headers or {}, any_limiter, in_flight=8, timeout_seconds=seconds)
    try:
        yield LmsClient(session=session, queue="7")
    finally:
        await session.close()


def raw_connection(system: str, url: str, **changes: Any) -> dict[str, Any]:
    """Return a connection to the sandbox at `url` as roster.toml would have it."""
    kmi = {"base_url": f"{url}/api/v2", "api_key": KEY, "api_secret": SECRET}
    tahdah = {"base_url": url, "token": TOKEN, "legal_entity_id": 42, "behavior": 1}
    moodle = {"base_url": f"{url}/moodle", "token": MOODLE_TOKEN, "role": 5}
    own = {"kmi": kmi, "tahdah": tahdah, "moodle": moodle}.get(system)
    return {"system": system, **(own or a_sandbox_of_all(url)[system].values), **changes}


def a_sandbox_of_all(url: str = "http://127.0.0.1:9") -> dict[str, systems.Connection]:
    """Return how to connect to each pretend LMS of a sandbox at `url`."""
    return {name: system.connection(url) for name, system in make_state().systems.items()}


def a_connection(system: str, url: str = "http://127.0.0.1:9", **changes: Any) -> Connection:
    """Return a connection to the sandbox at `url`."""
    return lms.read_connection(NORTH, raw_connection(system, url, **changes))


@asynccontextmanager
async def connected(
    connection: Connection, limiter: UnlimitedLimiter | None = None
) -> AsyncIterator[tuple[Connector, LmsClient]]:
    """Connect to the LMS of a connection."""
    seconds = connection.timeout_seconds
    async with a_client(
        connection.base_url, lms.headers_of(connection), limiter=limiter, seconds=seconds
    ) as client:
        yield lms.connect(connection, client), client


@asynccontextmanager
async def a_job_context(
    ledger: Ledger, job_id: int, connection: Connection, **changes: Any
) -> AsyncIterator[JobContext]:
    """Open the context of a job; look-ups are not delayed."""
    async with connected(connection) as (connector, client):
        values = {
            "job_id": job_id,
            "connection": connection.name,
            "owner": owner_name(),
            "ledger": ledger,
            "connector": connector,
            "client": client,
            "breaker": CircuitBreaker(connection.breaker),
            "rows_per_call": connector.rules.rows_per_call,
            "lookup_pauses": (0.0, 0.0, 0.0),
        }
        yield JobContext(**{**values, **changes})


def enrolments(ids: Sequence[str], **changes: Any) -> list[Enrolment]:
    """Return the enrolments of candidates, numbered from 1."""
    return [
        Enrolment(
            row_id=number,
            candidate_id=candidate_id,
            row=a_row(number, **changes),
            idempotency_key=f"roster-{candidate_id}-{number}",
        )
        for number, candidate_id in enumerate(ids, start=1)
    ]


def an_action_request(action: Action, candidate_id: str, row_id: int = 1, **changes: Any) -> ActionRequest:
    """Return an action on a person, or on their registration on course 58, with the values of `row`."""
    row = a_row(row_id, action=action, **changes.pop("row", {}))
    return ActionRequest(
        **{"row_id": row_id, "action": action, "row": row, "candidate_id": candidate_id, **changes}
    )


async def nothing() -> None:
    """An intent that commits nothing."""


@contextmanager
def closing(ledger: Ledger) -> Iterator[Ledger]:
    """Close a ledger at the end of the block."""
    try:
        yield ledger
    finally:
        ledger.close()
