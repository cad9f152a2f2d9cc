"""A message as a mail: what stands in it, what can never stand in it, and what a mail server may say."""

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


def some_news(event: Event = Event.ENDED, roster: str = "spring.xlsx", **changes: Any) -> Notification:
    """Return news of a job in which 412 of 430 are registered."""
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
    told = JobContent(summary=summary, needs_person=False, not_done_percent=4.19, **{**job, **changes})
    return Notification(event=event, delivery="d" * 32, at=AT, connection="north", job=told, held=(5, 6))


def on_the_wire(news: Notification) -> Any:
    return message_from_bytes(bytes(mail.message_of(SERVER, OFFICE, news)), policy=policy.default)


@pytest.mark.parametrize(
    ("event", "subject"),
    [
        (Event.ENDED, "Roster: spring.xlsx: 412 of 430 registered, 18 need you"),
        (Event.NEEDS_PERSON, "Roster: spring.xlsx waits for you: 412 of 430 registered, 18 need you"),
        (Event.TROUBLE, "Roster: north is in trouble: The LMS refused the credentials"),
        (Event.RECOVERED, "Roster: north is well again: spring.xlsx: 412 of 430 registered, 18 need you"),
    ],
)
def test_the_subject_says_it_all(event: Event, subject: str) -> None:
    news = some_news(event, reason="The LMS refused the credentials. Check this connection's token or key.")

    assert on_the_wire(news)["Subject"] == subject


def test_a_subject_in_any_language_arrives_as_it_is() -> None:
    name = "Früher Lehrgang für Ersthelfer und Brandschutzhelfer im März, 職員名簿 2026.xlsx"

    assert on_the_wire(some_news(roster=name))["Subject"].strip().startswith(f"Roster: {name}: 412 of 430")


def test_the_counts_speak_of_what_was_asked_for() -> None:
    def counted(**by_status: int) -> str:
        counts = {RowStatus(status): count for status, count in by_status.items()}
        total = sum(counts.values())
        return templates.counts(
            Summary(job=1, roster="r", connection="c", state=JobState.SUCCEEDED, total=total, by_status=counts)
        )

    assert counted(registered=3, skipped=1) == "3 of 4 registered"
    assert counted(registered=1, completed=1200, in_doubt=1) == "1,201 of 1,202 done, 1 needs you"
    assert counted() == "succeeded, no row was read"


def test_a_mail_says_that_a_machine_wrote_it_and_keeps_its_id_when_sent_again() -> None:
    first, second = on_the_wire(some_news()), on_the_wire(some_news())

    assert first["Message-ID"] == second["Message-ID"] == f"<roster.{'d' * 32}@example.com>"
    assert (first["Auto-Submitted"], first["From"]) == ("auto-generated", "Roster <roster@example.com>")
    assert first["To"] == "office@example.com, deputy@example.com"


def test_the_text_has_the_counts_what_to_do_and_the_link() -> None:
    text = on_the_wire(some_news()).get_content()

    assert "      400  registered" in text
    assert "      430  rows in all" in text
    assert "spring.failed.csv" in text
    assert "https://roster.example.com/jobs/7" in text


def test_who_hears_that_it_is_well_again_hears_which_jobs_are_still_held() -> None:
    text = on_the_wire(some_news(Event.RECOVERED)).get_content()

    assert "job 5 is still held: `roster resume 5`" in text
    assert "roster resume 6" in text


def test_no_word_of_an_lms_and_no_note_on_a_row_is_told() -> None:
    for event in (Event.ENDED, Event.NEEDS_PERSON, Event.TROUBLE, Event.RECOVERED):
        told = bytes(mail.message_of(SERVER, OFFICE, some_news(event))) + webhook.body_of(some_news(event))
        assert b"Wilhelmina" not in told


@given(name=st.text(max_size=300))
@example(name="a.csv\r\nBcc: everybody@example.com\r\n\r\nHello")
@example(name="a\u2028Bcc: x@example.com\x0b\x0c\x85.csv")
@example(name="\u202exslx.gnirps")
@example(name="=?utf-8?q?a=0D=0ABcc:_x?=")
def test_no_file_name_adds_a_header_or_a_line_to_one(name: str) -> None:
    raw = bytes(mail.message_of(SERVER, OFFICE, some_news(roster=name)))
    head = raw.partition(b"\r\n\r\n")[0]
    plain = bytes(mail.message_of(SERVER, OFFICE, some_news())).partition(b"\r\n\r\n")[0]

    def names(lines: bytes) -> list[bytes]:
        return [line.partition(b":")[0] for line in lines.split(b"\r\n") if not line.startswith((b" ", b"\t"))]

    assert names(head) == names(plain)
    assert len(message_from_bytes(raw, policy=policy.default)["Subject"]) < 220


def test_a_file_name_is_shown_on_one_line_and_not_for_ever() -> None:
    assert one_line("  a\r\n b\u202e.csv ") == "a b .csv"
    assert len(one_line("x" * 500)) == 121


def test_a_mail_server_that_asks_for_a_password_gets_it() -> None:
    with a_mail_server(password=True) as server:
        raw = {"host": "127.0.0.1", "port": server.port, "security": "none", "from": "roster@example.com"}
        good = Mail.model_validate({**raw, "user": "roster", "password": PASSWORD})
        wrong = Mail.model_validate({**raw, "user": "roster", "password": "not-it"})

        mail.look(good)
        mail.send(good, OFFICE, some_news())
        with pytest.raises(DeliveryError, match=r"refused user and password \(535\)") as raised:
            mail.send(wrong, OFFICE, some_news())

    assert len(server.taken) == 1
    assert "not-it" not in str(raised.value)


def test_an_address_that_the_server_does_not_know_keeps_nothing_from_the_others(
    post: Callable[..., MessageSettings], mail_server: MailServer
) -> None:
    server = post().mail
    assert server is not None
    mail_server.unknown = {"deputy@example.com"}
    mail.send(server, OFFICE, some_news())
    assert mail_server.recipients == [["office@example.com"]]

    mail_server.unknown |= {"office@example.com"}
    with pytest.raises(DeliveryError) as raised:
        mail.send(server, OFFICE, some_news())
    assert str(raised.value) == "the mail server refused every address (550)"


def test_a_server_that_takes_no_mail_is_told_by_its_number_alone(
    post: Callable[..., MessageSettings], mail_server: MailServer
) -> None:
    server = post().mail
    assert server is not None
    mail_server.refusals = ["451 greylisted office@example.com"]

    with pytest.raises(DeliveryError) as raised:
        mail.send(server, OFFICE, some_news())

    assert str(raised.value) == "the mail server refused the message (451)"


def test_a_server_without_starttls_gets_no_mail_in_the_clear(
    post: Callable[..., MessageSettings], mail_server: MailServer
) -> None:
    server = post(mail={"security": "starttls"}).mail
    assert server is not None

    with pytest.raises(DeliveryError, match="STARTTLS"):
        mail.send(server, OFFICE, some_news())

    assert mail_server.taken == []


def test_a_server_that_hangs_is_cut_off() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        hanging = SERVER.model_copy(update={"port": listening.getsockname()[1]})
        with pytest.raises(DeliveryError, match="did not answer in time"):
            mail.send(hanging, OFFICE, some_news(), Timeouts(step=0.3))


def test_a_server_that_dawdles_for_ever_is_cut_off_too() -> None:
    """Each letter comes within the time-out of a step."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def dawdle() -> None:
            line, _ = listening.accept()
            with line:
                line.sendall(b"220 test\r\n")
                while not over.wait(0.05):
                    try:
                        line.sendall(b"2")
                    except OSError:
                        return

        dawdling = threading.Thread(target=dawdle)
        dawdling.start()
        slow = SERVER.model_copy(update={"port": listening.getsockname()[1]})
        try:
            with pytest.raises(DeliveryError):
                mail.send(slow, OFFICE, some_news(), Timeouts(total=0.5))
        finally:
            over.set()
            dawdling.join()


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_mail_goes_over_a_line_that_nobody_reads(security: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with a_mail_server(password=True, security=security) as server:
        raw = {"host": "localhost", "port": server.port, "security": security, "from": "roster@example.com"}
        safe = Mail.model_validate({**raw, "user": "roster", "password": PASSWORD})

        with pytest.raises(DeliveryError, match="certificate is not valid"):
            mail.send(safe, OFFICE, some_news())
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        mail.send(safe, OFFICE, some_news())

    assert len(server.taken) == 1
