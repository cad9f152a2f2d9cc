"""Reading back, and what an LMS tells by itself, on every database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.builders import NORTH, a_candidate, a_job_of, a_row, change_lines, lines_of
from worker.jobs.webhooks import keep, settle_all
from worker.ledger import rows, schema, verify
from worker.ledger.candidates import id_key_of
from worker.ledger.database import now
from worker.ledger.transactions import Ledger
from worker.ledger.verify import Finding
from worker.lms.contract import Notice
from worker.model import Action, CandidateState, RegistrationState, RowStatus, Verdict

if TYPE_CHECKING:
    pass


def test_what_was_found_is_counted_and_replaced_by_what_is_found_later(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, *(a_row(number) for number in range(2, 6)))
    change_lines(ledger, schema.row, status=RowStatus.REGISTERED, changed_at=now())
    with ledger.write() as tx:
        ids = [done.work.row_id for done in verify.done_rows(tx, job_id)]
        findings = [Finding(row_id=each, verdict=Verdict.CONFIRMED) for each in ids]
        verify.record(
            tx, job_id, [replace(findings[0], verdict=Verdict.DIFFERS, error="gone", code="verified_absent")]
        )
        assert rows.count_verdicts(tx, job_id) == {"confirmed": 0, "differs": 1, "cannot_be_verified": 0}
        verify.record(tx, job_id, findings)
        assert rows.count_verdicts(tx, job_id) == {"confirmed": 4, "differs": 0, "cannot_be_verified": 0}

    assert {line.error for line in lines_of(ledger, schema.row)} == {""}


def test_what_was_done_later_to_the_same_is_told_in_its_order(ledger: Ledger) -> None:
    who = a_candidate(1)
    steps = (Action.REGISTER, Action.COMPLETE, Action.WITHDRAW, Action.UPDATE)
    roster = [a_row(number, who, action=action) for number, action in enumerate(steps, start=2)]
    job_id = a_job_of(ledger, *roster)
    with ledger.write() as tx:
        for line in lines_of(ledger, schema.row):
            values = {"status": RowStatus.REGISTERED, "changed_at": float(line.row)}
            tx.execute(schema.row.update().where(schema.row.c.id == line.id).values(**values))
    with ledger.read() as tx:
        later = [[since.action for since in done.later] for done in verify.done_rows(tx, job_id)]

    assert later == [
        [Action.COMPLETE, Action.WITHDRAW, Action.UPDATE],
        [Action.WITHDRAW, Action.UPDATE],
        [Action.UPDATE],
        [],
    ]


def test_a_webhook_that_comes_to_several_processes_at_once_is_kept_once_and_settles_once(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row(2))
    change_lines(ledger, schema.row, status=RowStatus.IN_DOUBT, error="lost", error_code="answer_lost")
    change_lines(ledger, schema.candidate, state=CandidateState.KNOWN, lms_id="7", id_key=id_key_of("7"))
    change_lines(ledger, schema.registration, state=RegistrationState.IN_DOUBT, job_id=job_id, sent_at=now())
    told = [Notice(candidate_id="7", course_id="58", registration_id="900")]

    with ThreadPoolExecutor(8) as threads:
        kept = list(threads.map(lambda _: keep(ledger, NORTH, "mark", told), range(8)))
        settled = list(threads.map(lambda _: settle_all(ledger), range(8)))

    assert (kept.count(True), sum(settled)) == (1, 1)
    (line,) = lines_of(ledger, schema.row)
    assert (line.status, line.verified, line.lms_registration_id) == ("registered", "confirmed", "900")
