"""`[messages.NAME]` and `[mail]`: who is notified when a job ends or needs a person, and the mail server."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parseaddr
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from worker.errors import SettingsError
from worker.settings.loading import explain_validation, missing_key, suggestion, unknown_keys
from worker.settings.models import HiddenText, Secret, Settings, is_loopback

Model = TypeVar("Model", bound=BaseModel)
_ADDRESS = re.compile(r"[^@\s<>,;:\"]+@[^@\s<>,;:\"]+")
_PORTS = {"starttls": 587, "tls": 465, "none": 25}


class WebhookFormat(StrEnum):
    """What a webhook posts."""

    STANDARD = "standard"
    SLACK = "slack"
    TEAMS = "teams"


class Event(StrEnum):
    """What a message is about; the value is the event name in a webhook."""

    #: A job has ended, successfully or not.
    ENDED = "job.ended"
    #: A job waits for a person, or has rows that only a person can resolve.
    NEEDS_PERSON = "job.needs_person"
    #: A job was held for a reason that concerns every job of its connection.
    TROUBLE = "connection.trouble"
    #: A later job of the connection succeeded.
    RECOVERED = "connection.well"
    #: A roster does not come: a schedule found none or an old one, or a drop folder cannot be used.
    SOURCE_TROUBLE = "source.trouble"
    #: It comes again.
    SOURCE_WELL = "source.well"
    #: A person checks whether messages arrive.
    TEST = "test"


#: The values of the key `on`.
TOPICS = {
    "ended": frozenset({Event.ENDED}),
    "needs_person": frozenset({Event.NEEDS_PERSON}),
    "trouble": frozenset({Event.TROUBLE, Event.SOURCE_TROUBLE}),
    "well_again": frozenset({Event.RECOVERED, Event.SOURCE_WELL}),
}


#: The beginning of a key of Standard Webhooks, and how long such a key must be (bytes).
_KEY_PREFIX, _KEY_BYTES = "whsec_", range(24, 65)


def webhook_key(secret: str) -> bytes:
    """Return the bytes that a secret is. Raises ValueError when it is `whsec_` and no such key."""
    if not secret.startswith(_KEY_PREFIX):
        return secret.encode()
    try:
        text = secret.removeprefix(_KEY_PREFIX)
        key = base64.b64decode(f"{text}{'=' * (-len(text) % 4)}", validate=True)
    except ValueError:
        key = b""
    if len(key) not in _KEY_BYTES:
        raise ValueError("whsec_ must be followed by 24 to 64 bytes in base64, as in: openssl rand -base64 32")
    return key


def _split_list(value: Any) -> Any:
    """Split a text at its commas, because a list in the environment is written so."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


TextList = Annotated[tuple[str, ...], BeforeValidator(_split_list)]


class Receiver(BaseModel):
    """A person or a system that gets messages."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    #: The part after `messages.` in roster.toml.
    name: str
    #: How the message is sent: `email` or `webhook`.
    kind: str
    #: What for: `ended`, `needs_person`, `trouble`, `well_again`.
    on: TextList = tuple(TOPICS)
    #: `ended` is sent only when more than this percentage of the rows is not done; without it, always.
    threshold_percent: float | None = Field(default=None, ge=0, lt=100)
    #: Only for these connections; empty: for all.
    connections: TextList = ()

    @field_validator("on")
    @classmethod
    def _are_topics(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for word in value:
            if word not in TOPICS:
                raise ValueError(f"{word!r} is not an event{suggestion(word, set(TOPICS))}")
        return value

    def wants(self, event: Event, connection: str) -> bool:
        """Return whether this receiver is to be notified of such an event."""
        if self.connections and connection.casefold() not in {name.casefold() for name in self.connections}:
            return False
        return any(event in TOPICS[word] for word in self.on)


class Email(Receiver):
    """People who get an e-mail."""

    #: Their addresses.
    to: TextList = Field(min_length=1)

    @field_validator("to")
    @classmethod
    def _are_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            if not _is_address(address):
                raise ValueError(f"{address!r} is not an e-mail address such as office@example.com")
        return value


class Webhook(Receiver):
    """An address to which a signed message is posted."""

    #: The address; also `env:NAME` or `file:/path`, because many addresses contain a secret.
    url: HiddenText = Field(repr=False)
    #: The key that signs the message (HMAC-SHA256); the receiver has it too. `whsec_` and base64, or any text.
    secret: Secret | None = None
    #: The key before this one, which signs too while receivers change theirs.
    previous_secret: Secret | None = None
    #: What is posted: the whole message, or its text as Slack or Teams take it.
    format: WebhookFormat = WebhookFormat.STANDARD
    #: Allow `http://` to another machine: the message can then be read on the network.
    allow_http: bool = False

    @model_validator(mode="after")
    def _is_an_address_to_post_to(self) -> Webhook:
        parts = _split(self.url)
        if parts is None:
            raise ValueError("url: must be an address such as https://example.com/hooks/roster")
        if parts[0] == "http" and not self.allow_http and not is_loopback(parts[1]):
            raise ValueError(
                "url: http:// can be read on the network and is accepted for this machine only; "
                "use https://, or set allow_http = true"
            )
        return self

    @field_validator("secret", "previous_secret")
    @classmethod
    def _is_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            webhook_key(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _is_signed(self) -> Webhook:
        if self.secret is None and (self.format is WebhookFormat.STANDARD or self.previous_secret is not None):
            raise ValueError('secret is missing; make one with: echo "whsec_$(openssl rand -base64 32)"')
        return self

    @property
    def host(self) -> str:
        """Return the host alone, which may be shown."""
        return (_split(self.url) or ("", ""))[1]


class Mail(BaseModel):
    """The mail server and the sender."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, populate_by_name=False)

    #: The server that sends our mail.
    host: str = Field(min_length=1)
    #: 587 with `starttls`, 465 with `tls`, 25 with `none`, unless set.
    port: int = Field(default=0, ge=0, le=65_535)
    #: How the connection is encrypted: `starttls`, `tls`, or `none`.
    security: Literal["starttls", "tls", "none"] = "starttls"
    #: The account at the server; empty: no sign-in.
    user: str = ""
    #: The password that goes with `user`.
    password: Secret | None = None
    #: The sender: an address, or `Roster <roster@example.com>`.
    sender: str = Field(alias="from")

    @field_validator("sender")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if not value.isprintable() or not _is_address(parseaddr(value)[1]):
            raise ValueError("must be an address such as roster@example.com, or Roster <roster@example.com>")
        return value

    @model_validator(mode="after")
    def _password_stays_secret(self) -> Mail:
        if bool(self.user) != (self.password is not None):
            raise ValueError("user and password go together: set both, or neither")
        if self.user and self.security == "none" and not is_loopback(self.host):
            raise ValueError('security: "none" sends the password in plain text; use "starttls" or "tls"')
        return self

    @property
    def address(self) -> tuple[str, int]:
        """Return host and port."""
        return self.host, self.port or _PORTS[self.security]


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSettings:
    """All receivers, and the mail server."""

    receivers: Mapping[str, Email | Webhook] = field(default_factory=dict)
    mail: Mail | None = None
    #: The address of the page, for links to jobs; empty when receivers cannot reach it.
    public_url: str = ""


_RECEIVER_KINDS: dict[str, type[Email | Webhook]] = {"email": Email, "webhook": Webhook}


def read_message_settings(settings: Settings) -> MessageSettings:
    """Return the receivers and the mail server of roster.toml. Raises SettingsError that names the wrong key."""
    receivers = {name: _read_receiver(settings, name, raw) for name, raw in settings.messages.items()}
    mail = _validate(Mail, settings.mail, "mail") if settings.mail else None
    if mail is None and any(isinstance(each, Email) for each in receivers.values()):
        raise SettingsError(
            "The configuration: [mail] is missing; e-mail needs its host and from, for example "
            'host = "mail.example.com" and from = "roster@example.com"'
        )
    return MessageSettings(receivers=receivers, mail=mail, public_url=settings.serve.public_url)


def unknown_message_keys(settings: Settings) -> list[str]:
    """Return a sentence for each key of `[messages.NAME]` and `[mail]` that is not known; no secret is read."""
    found = unknown_keys(Mail, settings.mail, "mail")
    for name, raw in settings.messages.items():
        table, kind = f"messages.{name}", raw.get("kind")
        if "kind" not in raw:
            found.append(missing_key("kind", raw, table, _RECEIVER_KINDS))
        elif kind in _RECEIVER_KINDS:
            found += unknown_keys(_RECEIVER_KINDS[kind], raw, table)
    return found


def literal_secrets(settings: Settings) -> list[str]:
    """Return a warning for each secret of these tables that is written in the configuration itself."""
    tables = {
        f"messages.{name}.{key}": raw.get(key)
        for name, raw in settings.messages.items()
        for key in ("secret", "previous_secret")
    }
    tables["mail.password"] = settings.mail.get("password")
    return [
        f"{key} is stored in plain text; put it into the environment (env:NAME) or a file (file:/path)"
        for key, value in tables.items()
        if value is not None and not str(value).startswith(("env:", "file:"))
    ]


def _read_receiver(settings: Settings, name: str, raw: Mapping[str, Any]) -> Email | Webhook:
    table = f"messages.{name}"
    kind = raw.get("kind")
    if "kind" not in raw:
        raise SettingsError(f"The configuration: {missing_key('kind', raw, table, _RECEIVER_KINDS)}")
    if kind not in _RECEIVER_KINDS:
        raise SettingsError(f"{table}.kind: {kind!r} is not supported; write one of {', '.join(_RECEIVER_KINDS)}")
    receiver = _validate(_RECEIVER_KINDS[kind], {**raw, "name": name}, table)
    known = {connection.casefold() for connection in settings.connections}
    for connection in receiver.connections:
        if connection.casefold() not in known:
            near = suggestion(connection, set(settings.connections))
            raise SettingsError(f"{table}.connections: there is no connection {connection!r}{near}")
    return receiver


def _validate(model: type[Model], raw: Mapping[str, Any], table: str) -> Model:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise SettingsError(explain_validation(error, model, where="The configuration", table=table)) from None


def _is_address(text: str) -> bool:
    return text.isascii() and text.isprintable() and _ADDRESS.fullmatch(text) is not None


def _split(url: str) -> tuple[str, str] | None:
    """Return scheme and host of an address that takes a POST; None when it is not valid."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        return None
    if not good or parts.username or parts.password or not (url.isascii() and url.isprintable() and " " not in url):
        return None
    return parts.scheme, parts.hostname or ""
