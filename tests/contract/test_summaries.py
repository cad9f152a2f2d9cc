"""Lists of jobs: as many statements for twelve jobs as for three, and each job as it is shown alone."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import event, insert, update

from tests.builders import a_candidate, a_job_of, a_row
from worker.bootstrap import Services
from worker.cli.show import list_jobs
from worker.ledger import jobs, relations, schema
from worker.ledger.database import now
from worker.metrics import JobMetrics
from worker.model import JobState, Relation, RowStatus, Verdict
from worker.reports import gather
from worker.settings import Settings
from worker.web.events import ProgressFeed
from worker.web.pages.jobs import newest_jobs
from worker.web.summaries import summaries, summary_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.ledger.transactions import Ledger

STATUSES = (
    RowStatus.REGISTERED,
    RowStatus.REJECTED,
    RowStatus.IN_DOUBT,
    RowStatus.NOT_ATTEMPTED,
    RowStatus.INVALID,
)


@contextmanager
def counted(ledger: Ledger) -> Iterator[list[str]]:
    """Yield the statements that are executed meanwhile."""
    statements: list[str] = []

    def note(_connection, _cursor, statement, *_: object) -> None:
        statements.append(statement)

    event.listen(ledger.engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(ledger.engine, "before_cursor_execute", note)


def add_jobs(ledger: Ledger, first: int, last: int) -> None:
    """Add jobs, each of them verified, with rows of many kinds, calls, and relations to the one before."""
    for number in range(first, last + 1):
        people = [a_row(2 + place, a_candidate(10 * number + place)) for place in range(len(STATUSES))]
        job_id = a_job_of(ledger, *people)
        with ledger.write() as tx:
            for place, status in enumerate(STATUSES):
                values = {"status": status, "created": place < number % 3, "verified": [*Verdict, None][place % 4]}
                if status is RowStatus.NOT_ATTEMPTED and number % 2:
                    values["kept_status"] = RowStatus.REJECTED
                mine = (schema.row.c.job_id == job_id, schema.row.c.row == 2 + place)
                tx.execute(update(schema.row).where(*mine).values(**values))
            ended = JobState.COMPLETED_WITH_ERRORS if number % 2 else JobState.HELD
            jobs.change_job(tx, job_id, state=ended, verified_at=now(), started_at=1.0, finished_at=now())
            calls = {"operation": "register/3", "calls": number}
            tx.execute(insert(schema.call_count).values(job_id=job_id, **calls))
            if number > 1:
                relations.relate(tx, job_id, Relation.FIXES, [job_id - 1])
                relations.relate(tx, job_id, Relation.UNDOES, [job_id - 1])
                relations.relate(tx, job_id, Relation.REPEATS, [1])


def shown(services: Services) -> dict[str, int]:
    """Show all lists of jobs. Return how many statements each took."""
    took = {}
    for name, show in {
        "api": lambda: summaries(services, 100, None),
        "page": lambda: newest_jobs(services, 100),
        "command": lambda: list_jobs(services, state=None, limit=None, as_json=True),
        "open": lambda: list_jobs(services, state="open", limit=None, as_json=False),
        "metrics": lambda: metrics(services),
        "streams": lambda: ProgressFeed(services)._read(range(1, 13)),
    }.items():
        with counted(services.ledger) as statements:
            show()
        took[name] = len(statements)
    return took


def metrics(services: Services) -> None:
    registry = CollectorRegistry()
    registry.register(JobMetrics(services))
    assert b"roster_ledger_up 1.0" in generate_latest(registry)


def test_a_list_of_jobs_takes_as_many_statements_for_twelve_as_for_three(ledger: Ledger, capsys: object) -> None:
    services = Services(settings=Settings(), ledger=ledger, owner="")
    add_jobs(ledger, 1, 3)
    three = shown(services)
    add_jobs(ledger, 4, 12)

    assert shown(services) == three


def test_each_job_of_a_list_is_as_it_is_shown_alone(ledger: Ledger) -> None:
    services = Services(settings=Settings(), ledger=ledger, owner="")
    add_jobs(ledger, 1, 5)

    listed = summaries(services, 100, None)

    assert [each["job"] for each in listed] == [5, 4, 3, 2, 1]
    assert listed == [summary_of(services, job_id) for job_id in (5, 4, 3, 2, 1)]
    assert [each["calls"] for each in listed] == [{"register": number} for number in (5, 4, 3, 2, 1)]
    assert [each["candidates_created"] for each in listed] == [2, 1, 0, 2, 1]
    assert listed[1]["by_status"]["not_attempted"] == 1
    assert (listed[0]["by_status"]["not_attempted"], listed[0]["by_status"]["rejected"]) == (0, 2)
    assert listed[0]["verified"] == {"confirmed": 1, "differs": 0, "cannot_be_verified": 0}
    assert listed[0]["related"] == {"undone_by": [], "undoes": [], "fixes": [4], "fixed_by": [], "repeats": [1]}
    with ledger.read() as tx:
        assert gather.summarise_all(tx, []) == []
