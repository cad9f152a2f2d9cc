"""Verification, and webhooks of an LMS, on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from tests.builders import NORTH, a_candidate, a_job_of, a_row, change_records, records_of
from worker.jobs.webhooks import apply_all, store
from worker.ledger import rows, schema, verify
from worker.ledger.candidates import id_key_of
from worker.ledger.database import now
from worker.ledger.transactions import Ledger
from worker.ledger.verify import Finding
from worker.lms.contract import WebhookEvent
from worker.model import Action, CandidateState, RegistrationState, RowStatus, Verdict


def test_findings_are_counted_and_replaced_by_later_ones(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, *(a_row(number) for number in range(2, 6)))
    change_records(ledger, schema.row, status=RowStatus.REGISTERED, changed_at=now())
    with ledger.write() as tx:
        ids = [done.work.row_id for done in verify.done_rows(tx, job_id)]
        findings = [Finding(row_id=each, verdict=Verdict.CONFIRMED) for each in ids]
        verify.save_findings(
            tx, job_id, [replace(findings[0], verdict=Verdict.DIFFERS, error="missing", code="verified_absent")]
        )
        assert rows.count_verdicts(tx, job_id) == {"confirmed": 0, "differs": 1, "cannot_be_verified": 0}
        verify.save_findings(tx, job_id, findings)
        assert rows.count_verdicts(tx, job_id) == {"confirmed": 4, "differs": 0, "cannot_be_verified": 0}

    assert {record.error for record in records_of(ledger, schema.row)} == {""}


def test_later_actions_on_the_same_registration_are_returned_in_order(ledger: Ledger) -> None:
    who = a_candidate(1)
    steps = (Action.REGISTER, Action.COMPLETE, Action.WITHDRAW, Action.UPDATE)
    roster = [a_row(number, who, action=action) for number, action in enumerate(steps, start=2)]
    job_id = a_job_of(ledger, *roster)
    with ledger.write() as tx:
        for record in records_of(ledger, schema.row):
            values = {"status": RowStatus.REGISTERED, "changed_at": float(record.row)}
            tx.execute(schema.row.update().where(schema.row.c.id == record.id).values(**values))
    with ledger.read() as tx:
        later = [[since.action for since in done.later] for done in verify.done_rows(tx, job_id)]

    assert later == [
        [Action.COMPLETE, Action.WITHDRAW, Action.UPDATE],
        [Action.WITHDRAW, Action.UPDATE],
        [Action.UPDATE],
        [],
    ]


def test_a_webhook_received_by_several_processes_at_once_is_stored_once_and_applied_once(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row(2))
    change_records(ledger, schema.row, status=RowStatus.IN_DOUBT, error="lost", error_code="answer_lost")
    change_records(ledger, schema.candidate, state=CandidateState.KNOWN, lms_id="7", id_key=id_key_of("7"))
    change_records(ledger, schema.registration, state=RegistrationState.IN_DOUBT, job_id=job_id, sent_at=now())
    events = [WebhookEvent(candidate_id="7", course_id="58", registration_id="900")]

    with ThreadPoolExecutor(8) as threads:
        stored = list(threads.map(lambda _: store(ledger, NORTH, "hash", events), range(8)))
        resolved = list(threads.map(lambda _: apply_all(ledger), range(8)))

    assert (stored.count(True), sum(resolved)) == (1, 1)
    (record,) = records_of(ledger, schema.row)
    assert (record.status, record.verified, record.lms_registration_id) == ("registered", "confirmed", "900")
