"""People are notified once when a roster does not come, and once when it comes again."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import pytest

from tests.builders import change_records, records_of
from tests.message_receivers import Hook, MailServer
from tests.unit.notifications.test_sender import sweep
from worker.intake.options import Options
from worker.ledger import purging, schedules, schema, sources
from worker.ledger.database import now
from worker.ledger.sources import SourceProblem
from worker.notifications import events

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.ledger.sources import RosterSource
    from worker.ledger.transactions import Ledger
    from worker.settings import MessageSettings

NIGHTLY, INBOX = sources.schedule_source("nightly"), sources.folder_source("inbox")


def fail(ledger: Ledger, problem: SourceProblem = SourceProblem.MISSING, name: str = NIGHTLY) -> RosterSource:
    """Record that a source has a problem."""
    with ledger.write() as tx:
        known = sources.lock(tx, name, connection="north", place="/srv/hr.csv")
        sources.record_problem(tx, known, problem, "/srv/hr.csv does not exist")
        return sources.lock(tx, name, connection="north", place="/srv/hr.csv")


def recover(ledger: Ledger, name: str = NIGHTLY) -> None:
    with ledger.write() as tx:
        sources.record_ok(tx, sources.lock(tx, name, connection="north", place="/srv/hr.csv"))


def events_of(hook: Hook) -> list[tuple[str, str]]:
    return [(each.json["event"], each.json["source"]["name"]) for each in hook.posted]


def test_a_problem_and_its_end_are_one_message_each(
    ledger: Ledger, settings_of: Callable[..., MessageSettings], hook: Hook, mail_server: MailServer
) -> None:
    for _ in range(3):
        fail(ledger)
        sweep(ledger, settings_of())
    recover(ledger)
    for _ in range(2):
        sweep(ledger, settings_of())

    assert events_of(hook) == [("source.trouble", NIGHTLY), ("source.well", NIGHTLY)]
    assert mail_server.subjects == [
        "Roster: schedule nightly: no roster found",
        "Roster: schedule nightly works again",
    ]


def test_another_reason_is_no_news_and_another_kind_of_problem_is(
    ledger: Ledger, settings_of: Callable[..., MessageSettings], hook: Hook
) -> None:
    for problem in (
        SourceProblem.MISSING,
        SourceProblem.UNREADABLE,
        SourceProblem.NOT_IMPORTED,
        SourceProblem.LATE,
        SourceProblem.UNCHANGED,
    ):
        fail(ledger, problem)
        sweep(ledger, settings_of())

    assert [each.json["source"]["problem"] for each in hook.posted] == ["missing", "late"]


def test_a_problem_that_is_over_before_it_could_be_sent_is_not_sent_and_neither_is_its_end(
    ledger: Ledger, settings_of: Callable[..., MessageSettings], hook: Hook
) -> None:
    fail(ledger)
    sweep(ledger, settings_of(), only_find=True)
    recover(ledger)
    change_records(ledger, schema.message, not_before=now() + 60)
    sweep(ledger, settings_of(), only_find=True)
    change_records(ledger, schema.message, not_before=now() - 1)

    sweep(ledger, settings_of())

    assert hook.posted == []
    assert {each.error for each in records_of(ledger, schema.message)} == {""}


@pytest.mark.parametrize("changes", [{"connections": ("south",)}, {"on": ("ended", "needs_person", "well_again")}])
def test_only_receivers_that_want_it_are_notified(
    ledger: Ledger, settings_of: Callable[..., MessageSettings], changes: dict[str, tuple[str, ...]]
) -> None:
    fail(ledger)
    everybody = settings_of()
    receivers = {name: each.model_copy(update=changes) for name, each in everybody.receivers.items()}
    settings = replace(everybody, receivers=receivers)
    with ledger.write() as tx:
        events.enqueue_due(tx, settings)
    recover(ledger)
    with ledger.write() as tx:
        events.enqueue_due(tx, settings)

    assert records_of(ledger, schema.message) == []


def test_a_schedule_that_was_removed_is_not_spoken_of(
    ledger: Ledger, settings_of: Callable[..., MessageSettings], hook: Hook
) -> None:
    fail(ledger)
    sweep(ledger, settings_of(), only_find=True)
    with ledger.write() as tx:
        schedules.remove(tx, "nightly")

    sweep(ledger, settings_of())

    assert hook.posted == []


def test_the_mail_says_what_is_wrong_since_when_and_what_to_do(
    ledger: Ledger, settings_of: Callable[..., MessageSettings], mail_server: MailServer
) -> None:
    with ledger.write() as tx:
        schedules.add(
            tx,
            name="nightly",
            cron="0 2 * * *",
            zone="Europe/Dublin",
            source="/srv/hr.csv",
            connection="north",
            options=asdict(Options()),
            missed="once",
            next_at=1_795_917_600.0,
            report_dir="reports",
        )
    fail(ledger)
    change_records(ledger, schema.roster_source, since=1_795_831_200.0)
    sweep(ledger, settings_of())
    recover(ledger)
    sweep(ledger, settings_of())
    fail(ledger, SourceProblem.NOT_WRITABLE, INBOX)
    sweep(ledger, settings_of())

    missing, well, folder = (mail.get_content().replace("\r\n", "\n") for mail in mail_server.taken)
    assert missing == (
        "Schedule nightly (to north): no roster found.\n\n"
        "/srv/hr.csv does not exist. This began on Sat 2026-11-28 02:00 GMT.\n\n"
        "Put the roster there; the next run imports it.\n\n"
        "The next run is at Sun 2026-11-29 02:00 GMT.\n\n"
        "This message is sent once. Another one follows when the problem is over.\n"
    )
    assert well == (
        "Schedule nightly (to north) works again.\n\n"
        "The problem was: no roster found. /srv/hr.csv does not exist. It began on Sat 2026-11-28 02:00 GMT.\n\n"
        "The next run is at Sun 2026-11-29 02:00 GMT.\n"
    )
    assert folder.startswith("Drop folder inbox (to north): files cannot be moved.\n\n")


@pytest.mark.parametrize(
    ("problem", "kept"),
    [(None, ""), (SourceProblem.UNCHANGED, "No new file"), (SourceProblem.MISSING, "No new file: /srv/Ann.csv")],
)
def test_a_purge_takes_the_name_of_a_file_out_of_what_was_wrong(
    ledger: Ledger, problem: SourceProblem | None, kept: str
) -> None:
    with ledger.write() as tx:
        known = sources.lock(tx, NIGHTLY, connection="north", place="/srv")
        sources.record_problem(tx, known, problem or SourceProblem.LATE, "No new file: /srv/Ann.csv")
        if problem is None:
            sources.change(tx, NIGHTLY, problem=None)
        purging.forget_source_files(tx, now() + 1)

        assert sources.lock(tx, NIGHTLY, connection="north", place="/srv").reason == kept
