"""A message as a webhook: the form of Standard Webhooks, checked by a receiver that knows its specification."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.notifications.test_mail import a_notification
from worker.ledger.database import now
from worker.ledger.sources import SourceProblem
from worker.notifications import webhook
from worker.notifications.content import Notification
from worker.notifications.reasons import Problem
from worker.notifications.sources import SourceContent
from worker.settings import Event, Webhook, WebhookFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DOCS = (Path(__file__).parents[3] / "docs" / "messages.md").read_text(encoding="utf-8")
KEY, OLD_KEY = b"k" * 32, b"o" * 24
NEW, OLD = (f"whsec_{base64.b64encode(key).decode()}" for key in (KEY, OLD_KEY))


def a_receiver(**changes: Any) -> Webhook:
    values = {"name": "hook", "kind": "webhook", "url": "https://example.com/hook", "secret": NEW}
    return Webhook.model_validate({**values, **changes})


def posted(receiver: Webhook, notification: Notification | None = None) -> tuple[dict[str, str], bytes]:
    """Return headers and body of a message."""
    notification = notification or a_notification()
    body = webhook.body_of(notification, receiver.format)
    return webhook.headers_of(receiver, notification, body, now()), body


def accepts(key: bytes, headers: Mapping[str, str], body: bytes) -> bool:
    """Check a signature as the specification says: over id, time and body, in one of several signatures."""
    signed = b".".join([headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body])
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return any(each == f"v1,{wanted}" for each in headers["webhook-signature"].split(" "))


def test_the_signature_is_that_of_the_reference_implementation() -> None:
    secret, message, at = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330
    signed = f'{message}.{at}.{{"test": 2432232314}}'.encode()

    assert webhook.standard_signature(secret, signed) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(("secret", "key"), [(NEW, KEY), (NEW.rstrip("="), KEY), ("any text", b"any text")])
def test_a_receiver_with_the_key_accepts_a_message_and_no_changed_one(secret: str, key: bytes) -> None:
    headers, body = posted(a_receiver(secret=secret))

    assert accepts(key, headers, body)
    assert not accepts(b"another", headers, body)
    assert not accepts(key, headers, body + b" ")
    assert not accepts(key, {**headers, "webhook-id": "another"}, body)
    assert not accepts(key, {**headers, "webhook-timestamp": "1"}, body)
    assert headers["webhook-id"] == headers["Roster-Delivery"]


def test_while_a_key_is_changed_receivers_with_the_old_and_with_the_new_one_accept_it() -> None:
    headers, body = posted(a_receiver(previous_secret=OLD))

    assert accepts(KEY, headers, body)
    assert accepts(OLD_KEY, headers, body)
    assert not accepts(KEY, *posted(a_receiver(secret=OLD)))


def test_the_body_has_type_time_data_and_a_text_besides_the_keys_that_it_had_before() -> None:
    problem = Problem(codes=("invalid_email",), meaning="No address.", columns=("Mail",), rows=18, first_row=4)
    sent = json.loads(webhook.body_of(a_notification(problems=(problem,))))

    assert (sent["type"], sent["timestamp"]) == ("job.ended", "2026-11-22T07:00:00Z")
    assert sent["data"]["job"]["id"] == 7
    assert sent["data"]["job"]["problems"] == [
        {"codes": ["invalid_email"], "columns": ["Mail"], "meaning": "No address.", "rows": 18, "first_row": 4}
    ]
    assert {key: sent[key] for key in sent["data"]} == sent["data"]
    assert (sent["event"], sent["at"], sent["delivery"]) == (sent["type"], sent["timestamp"], "d" * 32)
    assert sent["text"] == (
        "Roster: spring.xlsx: 412 of 430 registered, 18 need attention\n"
        "18 rows  “Mail”: No address. (invalid_email; first in row 4)\n"
        "https://roster.example.com/jobs/7"
    )


def test_no_file_name_calls_everybody_in_a_chat() -> None:
    named = a_notification(roster="<!channel>.csv")

    assert "<" not in json.loads(webhook.body_of(named))["text"]
    for form in (WebhookFormat.SLACK, WebhookFormat.TEAMS):
        assert b"<" not in webhook.body_of(named, form)


def test_slack_gets_the_text_alone_and_teams_a_card_and_neither_needs_a_secret() -> None:
    headers, slack = posted(a_receiver(secret=None, format="slack"))
    _, teams = posted(a_receiver(secret=None, format="teams"))

    assert json.loads(slack) == {"text": json.loads(webhook.body_of(a_notification()))["text"]}
    (attachment,) = json.loads(teams)["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert [block["text"] for block in attachment["content"]["body"]] == json.loads(slack)["text"].split("\n")
    assert not {"webhook-signature", "Roster-Signature"} & {*headers}


def the_code_of_the_page(name: str) -> Callable[..., bool]:
    """Return a function that docs/messages.md shows."""
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL):
        exec(block, names)  # noqa: S102 - our own page
    found: Callable[..., bool] = names[name]
    return found


def test_the_code_of_the_page_accepts_what_is_sent_and_nothing_else() -> None:
    is_from_roster = the_code_of_the_page("is_from_roster")
    headers, body = posted(a_receiver(previous_secret=OLD))

    assert is_from_roster(NEW, headers, body)
    assert is_from_roster(OLD, headers, body)
    assert not is_from_roster(NEW, headers, body + b" ")
    assert not is_from_roster(f"whsec_{base64.b64encode(b'x' * 24).decode()}", headers, body)
    late = {**headers, "webhook-timestamp": str(int(now()) - 3600)}
    assert not is_from_roster(NEW, late, body)


def test_the_older_code_of_the_page_accepts_what_is_sent_and_nothing_else() -> None:
    is_from_roster = the_code_of_the_page("is_from_roster_by_its_own_headers")
    for secret in (NEW, "any text"):
        headers, body = posted(a_receiver(secret=secret))

        assert is_from_roster(secret, headers, body)
        assert not is_from_roster(secret, headers, body + b" ")


def test_a_message_about_a_source_says_what_is_wrong_and_is_shown_in_a_chat() -> None:
    source = SourceContent(
        source="schedule:nightly",
        label="schedule nightly",
        problem=SourceProblem.LATE,
        reason="No new file has come by 07:00 (Europe/Dublin): /srv/hr.csv is from Fri 2026-11-27 06:02 GMT",
        since=1_795_849_200.0,
        next_at=1_795_917_600.0,
        zone="Europe/Dublin",
    )
    notification = Notification(
        event=Event.SOURCE_TROUBLE, delivery="d" * 32, at=a_notification().at, connection="north", source=source
    )
    sent = json.loads(webhook.body_of(notification))

    assert sent["type"] == "source.trouble"
    assert sent["data"] == {
        "connection": "north",
        "job": None,
        "held_jobs": [],
        "source": {
            "name": "schedule:nightly",
            "problem": "late",
            "reason": source.reason,
            "since": "2026-11-28T07:00:00Z",
            "next_at": "2026-11-29T02:00:00Z",
            "link": None,
        },
    }
    assert sent["text"] == (
        "Roster: schedule nightly: no new roster in time\n"
        f"{source.reason}. This began on Sat 2026-11-28 07:00 GMT.\n"
        "Ask those who send the roster. When it comes, the next run imports it.\n"
        "The next run is at Sun 2026-11-29 02:00 GMT."
    )
