"""[messages.NAME] and [mail]: strict, and plain about what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from worker.errors import SettingsError
from worker.settings import (
    Email,
    Event,
    MessageSettings,
    Settings,
    Webhook,
    literal_secrets,
    load,
    read_message_settings,
)

HOOK = {"kind": "webhook", "url": "https://example.com/hooks/1", "secret": "s3"}
OFFICE = {"kind": "email", "to": ["office@example.com"]}
MAIL = {"host": "mail.example.com", "from": "roster@example.com"}


def read(*, mail: dict[str, Any] | None = None, **receivers: dict[str, Any]) -> MessageSettings:
    return read_message_settings(Settings(messages=receivers, mail=mail or {}, connections={"north": {}}))


def said(**tables: Any) -> str:
    """Return the message for tables with an error."""
    with pytest.raises(SettingsError) as raised:
        read(**tables)
    return str(raised.value)


def test_without_a_table_there_are_no_receivers() -> None:
    assert read() == MessageSettings()


def test_receivers_want_every_event_unless_they_say_otherwise() -> None:
    post = read(hook=HOOK, office=OFFICE, mail=MAIL)

    hook, office = post.receivers["hook"], post.receivers["office"]
    assert isinstance(hook, Webhook)
    assert isinstance(office, Email)
    events = (Event.ENDED, Event.NEEDS_PERSON, Event.TROUBLE, Event.RECOVERED)
    assert all(each.wants(event, "north") for each in (hook, office) for event in events)
    assert (hook.threshold_percent, hook.host) == (None, "example.com")


def test_a_receiver_may_choose() -> None:
    hook = read(hook={**HOOK, "on": ["trouble"], "connections": ["North"]}).receivers["hook"]

    assert hook.wants(Event.TROUBLE, "north")
    assert not hook.wants(Event.TROUBLE, "south")
    assert not hook.wants(Event.ENDED, "north")


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"hook": {**HOOK, "sercet": "x"}}, ["unknown key messages.hook.sercet", "did you mean secret?"]),
        ({"hook": {**HOOK, "kind": "fax"}}, ["messages.hook.kind", "email, webhook"]),
        ({"hook": {**HOOK, "on": ["endet"]}}, ["messages.hook.on", "'endet'", "did you mean ended?"]),
        ({"hook": {**HOOK, "url": "example.com"}}, ["messages.hook", "url", "https://"]),
        ({"hook": {**HOOK, "url": "http://example.com"}}, ["http://", "https://", "allow_http"]),
        ({"hook": {**HOOK, "url": "https://u:p@example.com"}}, ["messages.hook", "url"]),
        ({"hook": {**HOOK, "threshold_percent": 100}}, ["messages.hook.threshold_percent"]),
        ({"hook": {**HOOK, "connections": ["nroth"]}}, ["messages.hook.connections", "did you mean north?"]),
        ({"hook": {**HOOK, "secret": "env:NOT_SET"}}, ["messages.hook.secret", "NOT_SET is not set"]),
        ({"hook": {"kind": "webhook"}}, ["messages.hook.url is missing"]),
        ({"hook": {"kind": "webhook", "url": HOOK["url"]}}, ["messages.hook", "secret is missing", "whsec_"]),
        ({"hook": {**HOOK, "secret": "whsec_c2hvcnQ="}}, ["messages.hook.secret", "24 to 64 bytes in base64"]),
        ({"hook": {**HOOK, "secret": "whsec_???"}}, ["messages.hook.secret", "24 to 64 bytes in base64"]),
        ({"hook": {**HOOK, "previous_secret": "whsec_"}}, ["messages.hook.previous_secret", "base64"]),
        ({"hook": {**HOOK, "format": "slak"}}, ["messages.hook.format", "slack"]),
        ({"office": OFFICE}, ["[mail] is missing"]),
        ({"office": {**OFFICE, "to": []}, "mail": MAIL}, ["messages.office.to"]),
        ({"office": {**OFFICE, "to": ["a@b\nBcc: c@d"]}, "mail": MAIL}, ["messages.office.to"]),
        ({"office": {**OFFICE, "to": ["office"]}, "mail": MAIL}, ["messages.office.to", "office@example.com"]),
        ({"mail": {**MAIL, "form": "x"}}, ["unknown key mail.form", "did you mean from?"]),
        ({"mail": {"host": "mail.example.com"}}, ["mail.from is missing"]),
        ({"mail": {**MAIL, "from": "Roster"}}, ["mail.from"]),
        ({"mail": {**MAIL, "from": "a@b.c\nBcc: d@e.f"}}, ["mail.from"]),
        ({"mail": {**MAIL, "user": "roster"}}, ["user and password go together"]),
        (
            {"mail": {**MAIL, "user": "u", "password": "p4ss", "security": "none"}},
            ["security", "in plain text", "starttls"],
        ),
        ({"mail": {**MAIL, "security": "ssl"}}, ["mail.security", "starttls"]),
    ],
)
def test_an_error_is_named_with_its_key(tables: dict[str, Any], words: list[str]) -> None:
    text = said(**tables)

    assert [word for word in words if word not in text] == [], text
    assert "s3" not in text
    assert "p4ss" not in text


def test_a_password_may_go_in_the_clear_to_this_machine() -> None:
    mail = {**MAIL, "host": "localhost", "user": "u", "password": "p", "security": "none"}

    assert read(mail=mail).mail is not None


@pytest.mark.parametrize(("security", "port"), [("starttls", 587), ("tls", 465), ("none", 25)])
def test_the_port_follows_from_the_security(security: str, port: int) -> None:
    mail = read(mail={**MAIL, "security": security}).mail
    assert mail is not None
    assert mail.address == ("mail.example.com", port)
    assert read(mail={**MAIL, "security": security, "port": 2525}).mail.address[1] == 2525  # type: ignore[union-attr]


def test_an_address_with_a_secret_in_it_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", "https://hooks.example.com/services/T0/hidden-part")
    hook = read(hook={**HOOK, "url": "env:HOOK"}).receivers["hook"]

    assert isinstance(hook, Webhook)
    assert hook.url.endswith("hidden-part")
    assert "hidden-part" not in repr(hook)
    assert "s3" not in repr(hook)


def test_the_environment_and_files_next_to_the_configuration_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "roster.toml"
    config.write_text(
        '[messages.Hook]\nkind = "webhook"\nurl = "https://example.com/1"\nsecret = "file:hook.secret"\n'
        '[messages.office]\nkind = "email"\nto = ["a@example.com"]\n'
        '[mail]\nhost = "one.example.com"\nfrom = "roster@example.com"\n'
    )
    (tmp_path / "hook.secret").write_text("from-the-file\n")
    monkeypatch.setenv("ROSTER_MESSAGES__HOOK__URL", "https://example.com/2")
    monkeypatch.setenv("ROSTER_MESSAGES__OFFICE__TO", "b@example.com, c@example.com")
    monkeypatch.setenv("ROSTER_MAIL__HOST", "two.example.com")

    post = read_message_settings(load(config))

    hook, office = post.receivers["Hook"], post.receivers["office"]
    assert isinstance(hook, Webhook)
    assert isinstance(office, Email)
    assert (hook.url, hook.secret.get_secret_value()) == ("https://example.com/2", "from-the-file")
    assert office.to == ("b@example.com", "c@example.com")
    assert post.mail is not None
    assert post.mail.host == "two.example.com"


def test_a_secret_in_plain_text_earns_a_warning() -> None:
    settings = Settings(messages={"hook": HOOK}, mail={**MAIL, "user": "u", "password": "env:X"})

    (warning,) = literal_secrets(settings)

    assert warning.startswith("messages.hook.secret is stored in plain text")
    assert "s3" not in warning
