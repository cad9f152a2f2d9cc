"""A message as an e-mail: its content, what it never contains, and the responses of mail servers."""

from __future__ import annotations

import socket
import threading
from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.message_receivers import CERTIFICATE, PASSWORD, MailServer, a_mail_server
from worker.model import JobState, RowStatus
from worker.notifications import mail, templates, webhook
from worker.notifications.content import JobContent, Notification, one_line
from worker.notifications.delivery import DeliveryError, Timeouts
from worker.reports.lines import Summary
from worker.settings import Email, Event, Mail, MessageSettings

if TYPE_CHECKING:
    from collections.abc import Callable

AT = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)
OFFICE = Email(name="office", kind="email", to=("office@example.com", "deputy@example.com"))
SERVER = Mail.model_validate({"host": "127.0.0.1", "security": "none", "from": "Roster <roster@example.com>"})


def a_notification(event: Event = Event.ENDED, roster: str = "spring.xlsx", **changes: Any) -> Notification:
    """Return a notification about a job in which 412 of 430 people are registered."""
    counts = {RowStatus.REGISTERED: 400, RowStatus.ALREADY_REGISTERED: 12, RowStatus.REJECTED: 18}
    summary = Summary(
        job=7,
        roster=roster,
        connection="north",
        state=JobState.COMPLETED_WITH_ERRORS,
        total=430,
        by_status=counts,
        reason="Candidate Wilhelmina Achterberg is not known",
        warnings=("Row 3: Wilhelmina",),
    )
    job = {
        "roster": one_line(roster),
        "reason_code": None,
        "reason": "",
        "link": "https://roster.example.com/jobs/7",
    }
    content = JobContent(summary=summary, needs_person=False, not_done_percent=4.19, **{**job, **changes})
    return Notification(event=event, delivery="d" * 32, at=AT, connection="north", job=content, held=(5, 6))


def parsed(notification: Notification) -> Any:
    return message_from_bytes(bytes(mail.message_of(SERVER, OFFICE, notification)), policy=policy.default)


@pytest.mark.parametrize(
    ("event", "subject"),
    [
        (Event.ENDED, "Roster: spring.xlsx: 412 of 430 registered, 18 need attention"),
        (Event.NEEDS_PERSON, "Roster: spring.xlsx needs attention: 412 of 430 registered, 18 need attention"),
        (Event.TROUBLE, "Roster: north is not working: The LMS rejected the credentials"),
        (Event.RECOVERED, "Roster: north works again: spring.xlsx: 412 of 430 registered, 18 need attention"),
    ],
)
def test_the_subject_has_event_roster_and_counts(event: Event, subject: str) -> None:
    notification = a_notification(event, reason="The LMS rejected the credentials. Check the token or key.")

    assert parsed(notification)["Subject"] == subject


def test_a_subject_in_any_language_arrives_unchanged() -> None:
    name = "Früher Lehrgang für Ersthelfer und Brandschutzhelfer im März, 職員名簿 2026.xlsx"

    assert parsed(a_notification(roster=name))["Subject"].strip().startswith(f"Roster: {name}: 412 of 430")


def test_the_counts_name_the_action() -> None:
    def counted(**by_status: int) -> str:
        counts = {RowStatus(status): count for status, count in by_status.items()}
        total = sum(counts.values())
        return templates.counts(
            Summary(job=1, roster="r", connection="c", state=JobState.SUCCEEDED, total=total, by_status=counts)
        )

    assert counted(registered=3, skipped=1) == "3 of 4 registered"
    assert counted(registered=1, completed=1200, in_doubt=1) == "1,201 of 1,202 done, 1 needs attention"
    assert counted() == "Completed, no rows were read"


def test_an_e_mail_says_that_a_machine_wrote_it_and_keeps_its_id_when_sent_again() -> None:
    first, second = parsed(a_notification()), parsed(a_notification())

    assert first["Message-ID"] == second["Message-ID"] == f"<roster.{'d' * 32}@example.com>"
    assert (first["Auto-Submitted"], first["From"]) == ("auto-generated", "Roster <roster@example.com>")
    assert first["To"] == "office@example.com, deputy@example.com"


def test_the_text_has_the_counts_what_to_do_and_the_link() -> None:
    text = parsed(a_notification()).get_content()

    assert "      400  Registered" in text
    assert "      430  rows in total" in text
    assert "spring.failed.csv" in text
    assert "https://roster.example.com/jobs/7" in text


def test_a_message_that_a_connection_works_again_names_the_jobs_that_are_still_held() -> None:
    text = parsed(a_notification(Event.RECOVERED)).get_content()

    assert "Job 5 is still held: select “Resume” at https://roster.example.com/jobs/5" in text
    assert "jobs/6" in text
    alone = parsed(a_notification(Event.RECOVERED, link="")).get_content()
    assert "Job 5 is still held: resume it with `roster resume 5`" in alone


def test_no_text_of_an_lms_and_no_note_on_a_row_is_sent() -> None:
    for event in (Event.ENDED, Event.NEEDS_PERSON, Event.TROUBLE, Event.RECOVERED):
        sent = bytes(mail.message_of(SERVER, OFFICE, a_notification(event))) + webhook.body_of(
            a_notification(event)
        )
        assert b"Wilhelmina" not in sent


@given(name=st.text(max_size=300))
@example(name="a.csv\r\nBcc: everybody@example.com\r\n\r\nHello")
@example(name="a\u2028Bcc: x@example.com\x0b\x0c\x85.csv")
@example(name="\u202exslx.gnirps")
@example(name="=?utf-8?q?a=0D=0ABcc:_x?=")
def test_no_file_name_adds_a_header_or_a_line_to_one(name: str) -> None:
    raw = bytes(mail.message_of(SERVER, OFFICE, a_notification(roster=name)))
    head = raw.partition(b"\r\n\r\n")[0]
    plain = bytes(mail.message_of(SERVER, OFFICE, a_notification())).partition(b"\r\n\r\n")[0]

    def names(lines: bytes) -> list[bytes]:
        return [line.partition(b":")[0] for line in lines.split(b"\r\n") if not line.startswith((b" ", b"\t"))]

    assert names(head) == names(plain)
    assert len(message_from_bytes(raw, policy=policy.default)["Subject"]) < 220


def test_a_file_name_is_shown_on_one_line_and_cut() -> None:
    assert one_line("  a\r\n b\u202e.csv ") == "a b .csv"
    assert len(one_line("x" * 500)) == 121


def test_a_mail_server_that_asks_for_a_password_gets_it() -> None:
    with a_mail_server(password=True) as server:
        raw = {"host": "127.0.0.1", "port": server.port, "security": "none", "from": "roster@example.com"}
        good = Mail.model_validate({**raw, "user": "roster", "password": PASSWORD})
        wrong = Mail.model_validate({**raw, "user": "roster", "password": "not-it"})

        mail.check_login(good)
        mail.send(good, OFFICE, a_notification())
        with pytest.raises(DeliveryError, match=r"rejected user and password \(535\)") as raised:
            mail.send(wrong, OFFICE, a_notification())

    assert len(server.taken) == 1
    assert "not-it" not in str(raised.value)


def test_an_unknown_address_does_not_affect_the_others(
    settings_of: Callable[..., MessageSettings], mail_server: MailServer
) -> None:
    server = settings_of().mail
    assert server is not None
    mail_server.unknown = {"deputy@example.com"}
    mail.send(server, OFFICE, a_notification())
    assert mail_server.recipients == [["office@example.com"]]

    mail_server.unknown |= {"office@example.com"}
    with pytest.raises(DeliveryError) as raised:
        mail.send(server, OFFICE, a_notification())
    assert str(raised.value) == "the mail server rejected every address (550)"


def test_of_a_server_that_rejects_a_message_only_the_number_is_reported(
    settings_of: Callable[..., MessageSettings], mail_server: MailServer
) -> None:
    server = settings_of().mail
    assert server is not None
    mail_server.refusals = ["451 greylisted office@example.com"]

    with pytest.raises(DeliveryError) as raised:
        mail.send(server, OFFICE, a_notification())

    assert str(raised.value) == "the mail server rejected the message (451)"


def test_no_e_mail_is_sent_unencrypted_to_a_server_without_starttls(
    settings_of: Callable[..., MessageSettings], mail_server: MailServer
) -> None:
    server = settings_of(mail={"security": "starttls"}).mail
    assert server is not None

    with pytest.raises(DeliveryError, match="STARTTLS"):
        mail.send(server, OFFICE, a_notification())

    assert mail_server.taken == []


def test_the_connection_to_a_server_that_hangs_is_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        hanging = SERVER.model_copy(update={"port": listening.getsockname()[1]})
        with pytest.raises(DeliveryError, match="did not respond in time"):
            mail.send(hanging, OFFICE, a_notification(), Timeouts(step=0.3))


def test_the_connection_to_a_server_that_is_endlessly_slow_is_closed_too() -> None:
    """Each byte comes within the time-out of a step."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def respond_slowly() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(b"220 test\r\n")
                while not over.wait(0.05):
                    try:
                        connection.sendall(b"2")
                    except OSError:
                        return

        responding = threading.Thread(target=respond_slowly)
        responding.start()
        slow = SERVER.model_copy(update={"port": listening.getsockname()[1]})
        try:
            with pytest.raises(DeliveryError):
                mail.send(slow, OFFICE, a_notification(), Timeouts(total=0.5))
        finally:
            over.set()
            responding.join()


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_e_mail_is_sent_over_an_encrypted_connection(security: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with a_mail_server(password=True, security=security) as server:
        raw = {"host": "localhost", "port": server.port, "security": security, "from": "roster@example.com"}
        safe = Mail.model_validate({**raw, "user": "roster", "password": PASSWORD})

        with pytest.raises(DeliveryError, match="certificate is not valid"):
            mail.send(safe, OFFICE, a_notification())
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        mail.send(safe, OFFICE, a_notification())

    assert len(server.taken) == 1
