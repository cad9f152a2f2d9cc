"""Messages of the outbox are sent, retried, and given up; a slow receiver delays no other one."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders import a_job_of, a_row, change_records, records_of
from tests.conftest import wait_until
from tests.message_receivers import CERTIFICATE, HANG, SECRET, Hook, MailServer, a_hook
from worker.ledger import jobs, outbox, schema
from worker.ledger.database import now
from worker.model import Driver, JobState
from worker.notifications import delivery, events, sender
from worker.notifications import http as webhooks
from worker.notifications.sender import Sender
from worker.settings import MessageSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.ledger.transactions import Ledger


def end_a_job(ledger: Ledger, state: JobState = JobState.SUCCEEDED, **changes: Any) -> int:
    """Let a job of two people end, in the background."""
    rows = [a_row(number) for number in (2, 3)]
    return a_job_of(ledger, *rows, state=state, driver=Driver.QUEUE, **changes)


def sweep(ledger: Ledger, settings: MessageSettings, *, only_find: bool = False) -> None:
    """Find what is due, send it, and wait until the senders have come back."""
    with ledger.write() as tx:
        events.enqueue_due(tx, settings)
    if not only_find:
        sending = Sender(ledger)
        sending.start(settings)
        sending.stop(45)


def make_due(ledger: Ledger) -> None:
    """Let the pause, or the lease, of every message be over."""
    change_records(ledger, schema.message, not_before=now() - 1)


def states_of(ledger: Ledger) -> dict[str, tuple[str, int, str]]:
    """Return (state, attempts, error) by receiver."""
    with ledger.read() as tx:
        return {each.receiver: (each.state, each.attempts, each.error) for each in outbox.newest(tx, 100)}


def test_a_webhook_and_a_mail_are_sent_once(
    ledger: Ledger, settings_of: Callable[..., MessageSettings], hook: Hook, mail_server: MailServer
) -> None:
    job_id = end_a_job(ledger)

    for _ in range(3):
        sweep(ledger, settings_of())

    assert hook.events == [("job.ended", job_id)]
    assert mail_server.subjects == ["Roster: tidy.csv: 0 of 2 registered, 2 need attention"]
    assert states_of(ledger) == {"hook": ("sent", 1, ""), "office": ("sent", 1, "")}


def test_a_webhook_is_signed_over_its_time_and_its_bytes(
    ledger: Ledger, settings_of: Callable[..., MessageSettings], hook: Hook
) -> None:
    end_a_job(ledger, roster="früh.csv")
    sweep(ledger, settings_of())

    (posted,) = hook.posted
    assert posted.is_signed_with(SECRET)
    assert not posted.is_signed_with("another")
    assert abs(int(posted.headers["roster-timestamp"]) - now()) < 120
    assert posted.headers["roster-event"] == posted.json["event"] == "job.ended"
    assert posted.headers["roster-delivery"] == posted.json["delivery"]
    assert posted.json["job"]["roster"] == "früh.csv"


def test_one_sweep_sends_a_hundred_messages_of_jobs_that_ended_together(
    ledger: Ledger, settings_of: Callable[..., MessageSettings], hook: Hook
) -> None:
    ended = [end_a_job(ledger) for _ in range(100)]
    only_hook = replace(settings_of(), receivers={"hook": settings_of().receivers["hook"]})
    with ledger.write() as tx:
        events.enqueue_due(tx, only_hook)
    sending = Sender(ledger)
    sending.start(only_hook)

    wait_until(lambda: len(hook.posted) == 100, "the last message")
    sending.stop(45)

    assert sorted(job for _, job in hook.events) == ended


@pytest.mark.parametrize("answer", [500, 503, 404, 301, 307])
def test_a_receiver_that_responds_with_an_error_gets_the_same_message_again_later(
    ledger: Ledger, settings_of: Callable[..., MessageSettings], hook: Hook, answer: int
) -> None:
    hook.answers = [answer]
    end_a_job(ledger)
    sweep(ledger, settings_of())
    assert states_of(ledger)["hook"] == ("waiting", 1, f"the receiver responded {answer}")

    sweep(ledger, settings_of())
    assert len(hook.posted) == 1
    make_due(ledger)
    sweep(ledger, settings_of())

    first, second = hook.posted
    assert first.headers["roster-delivery"] == second.headers["roster-delivery"]
    assert first.body == second.body
    assert states_of(ledger)["hook"] == ("sent", 2, "")


def test_a_receiver_that_responds_410_gets_no_further_attempt(
    ledger: Ledger, settings_of: Callable[..., MessageSettings], hook: Hook
) -> None:
    hook.answers = [410]
    end_a_job(ledger)
    sweep(ledger, settings_of())
    make_due(ledger)
    sweep(ledger, settings_of())

    assert len(hook.posted) == 1
    assert states_of(ledger)["hook"][0] == "given up"


def test_a_message_that_could_not_be_sent_for_a_day_is_given_up(
    ledger: Ledger, settings_of: Callable[..., MessageSettings], hook: Hook
) -> None:
    hook.answers = [500]
    end_a_job(ledger)
    sweep(ledger, settings_of(), only_find=True)
    change_records(ledger, schema.message, created_at=now() - delivery.GIVE_UP_SECONDS)

    sweep(ledger, settings_of())

    assert states_of(ledger)["hook"] == ("given up", 1, "the receiver responded 500")


def test_delays_grow_up_to_their_maximum() -> None:
    pauses = [delivery.retry_delay(attempts) for attempts in range(1, 40)]

    assert 24 <= pauses[0] <= 36
    assert max(pauses) <= delivery.MAX_DELAY_SECONDS * 1.2
    assert min(pauses[12:]) >= delivery.MAX_DELAY_SECONDS * 0.8


def test_a_receiver_that_hangs_delays_no_other_receivers_messages(
    ledger: Ledger, settings_of: Callable[..., MessageSettings], hook: Hook, mail_server: MailServer
) -> None:
    hook.answers = [HANG] * 20
    for _ in range(5):
        end_a_job(ledger)
    sweep(ledger, settings_of(), only_find=True)
    sending = Sender(ledger)

    def all_mails_came() -> bool:
        sending.start(settings_of())
        return len(mail_server.taken) == 5

    wait_until(all_mails_came, "the last mail")
    assert len(hook.posted) <= sender.MAX_SENDING_EACH
    hook.released.set()
    sending.stop(45)


def test_an_attempt_at_a_receiver_that_hangs_times_out(hook: Hook) -> None:
    hook.answers = [HANG]

    with pytest.raises(delivery.DeliveryError, match="did not respond in time"):
        webhooks.post(hook.url, b"{}", {}, delivery.Timeouts(total=0.3))


def test_a_webhook_is_sent_only_to_the_host_that_the_certificate_names(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_hook(tls=True) as safe:
        with pytest.raises(delivery.DeliveryError, match="certificate is not valid"):
            webhooks.post(safe.url, b"{}", {})
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        assert webhooks.post(safe.url, b"{}", {}) == 204

    assert len(safe.posted) == 1


def test_a_message_claimed_by_a_process_that_died_is_sent_by_another(
    ledger: Ledger, settings_of: Callable[..., MessageSettings], hook: Hook
) -> None:
    end_a_job(ledger)
    sweep(ledger, settings_of(), only_find=True)
    with ledger.write() as tx:
        for message in outbox.due(tx, 10):
            assert outbox.claim(tx, message, now() + delivery.LEASE_SECONDS)

    sweep(ledger, settings_of())
    assert hook.posted == []
    make_due(ledger)
    sweep(ledger, settings_of())

    assert [event for event, _ in hook.events] == ["job.ended"]


def test_an_outdated_message_is_skipped(
    ledger: Ledger, settings_of: Callable[..., MessageSettings], hook: Hook, mail_server: MailServer
) -> None:
    job_id = end_a_job(ledger, JobState.HELD)
    sweep(ledger, settings_of(), only_find=True)
    with ledger.write() as tx:
        jobs.change_job(tx, job_id, state=JobState.RUNNING)

    sweep(ledger, settings_of())

    assert (hook.posted, mail_server.taken) == ([], [])
    assert {state for state, *_ in states_of(ledger).values()} == {"passed over"}


def test_an_incident_that_is_over_before_it_could_be_reported_is_skipped(
    ledger: Ledger, settings_of: Callable[..., MessageSettings], hook: Hook
) -> None:
    job_id = end_a_job(ledger, JobState.RUNNING)
    with ledger.write() as tx:
        jobs.change_job(tx, job_id, state=JobState.HELD, reason_code="unreachable")
    sweep(ledger, settings_of(), only_find=True)
    with ledger.write() as tx:
        (trouble,) = outbox.open_incidents(tx)
        outbox.close_incident(tx, trouble)

    sweep(ledger, settings_of())

    assert hook.posted == []


def test_a_receiver_that_was_removed_from_the_configuration_gets_no_more_messages(
    ledger: Ledger, settings_of: Callable[..., MessageSettings], hook: Hook
) -> None:
    end_a_job(ledger)
    sweep(ledger, settings_of(), only_find=True)

    sweep(ledger, MessageSettings())

    assert hook.posted == []
    assert states_of(ledger)["hook"] == ("given up", 1, "the receiver is no longer in roster.toml")


def test_an_unreachable_address_is_reported_without_the_address() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/services/T0/secret-part"
        with pytest.raises(delivery.DeliveryError) as raised:
            webhooks.post(url, b"{}", {})

    assert str(raised.value) == "the receiver cannot be reached"


def test_an_unexpected_error_leaves_the_message_to_a_later_sweep(
    ledger: Ledger, settings_of: Callable[..., MessageSettings], hook: Hook
) -> None:
    end_a_job(ledger)
    sweep(ledger, settings_of(), only_find=True)
    with ledger.write() as tx:
        message = next(each for each in outbox.due(tx, 10) if each.receiver == "hook")
        claimed = outbox.claim(tx, message, now() + 60)
    assert claimed is not None

    sender.send_claimed(ledger, replace(claimed, event="unheard.of"), settings_of())

    assert hook.posted == []
    assert records_of(ledger, schema.message)[0].ended_at is None
