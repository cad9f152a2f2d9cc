"""The settings in roster.toml, as frozen pydantic models."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from worker.addresses import has_control_characters, masked
from worker.model import HiddenRows
from worker.settings.expected_time import parse_expected_time

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks_in(text: str) -> list[Network]:
    """Return the addresses and networks in a list; raises ValueError that names what is neither."""
    networks: list[Network] = []
    for written in (part.strip() for part in text.split(",")):
        try:
            networks += [ipaddress.ip_network(written)] if written else []
        except ValueError:
            raise ValueError(
                f"{written!r} is neither an IP address nor a network; write 127.0.0.1 or 10.0.0.0/8, "
                "several separated by commas"
            ) from None
    return networks


class Serve(BaseModel):
    """How `roster serve` is reached, and its limits."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    #: The address to listen on; if it is not this machine's own, an account is needed (`roster user add`).
    host: str = "127.0.0.1"
    #: The port to listen on; 0 for any free port.
    port: int = Field(default=8000, ge=0, le=65_535)
    #: The address at which people open the page, if it is not host and port: https://roster.example.com.
    public_url: str = ""
    #: The addresses of the proxies in front, separated by commas; only their X-Forwarded headers are used.
    behind_proxy: str = ""
    #: The largest roster that can be uploaded (MB).
    max_upload_mb: int = Field(default=100, ge=1, le=10_000)
    #: How long a sign-in is valid after its last use (hours).
    session_hours: float = Field(default=12.0, gt=0, le=24 * 90)
    #: How many API calls a client may make in a minute, spread or at once.
    calls_per_minute: int = Field(default=6_000, ge=10)
    #: How long entries of the audit log are kept (days); sweeps and `roster purge` remove older ones.
    audit_days: int = Field(default=365, ge=1, le=36_500)
    #: Whether /metrics needs no account.
    open_metrics: bool = False
    #: The address of Flower, for the link on the page.
    flower_url: str = ""

    @property
    def audit_seconds(self) -> float:
        """Return how long entries of the audit log are kept (seconds)."""
        return self.audit_days * 86400.0

    @field_validator("host")
    @classmethod
    def _is_host(cls, value: str) -> str:
        if not value or any(character.isspace() for character in value):
            raise ValueError("must be an address or a name of this machine, such as 127.0.0.1 or 0.0.0.0")
        return value

    @field_validator("behind_proxy")
    @classmethod
    def _are_addresses(cls, value: str) -> str:
        for network in _networks_in(value):
            if network.prefixlen == 0:
                raise ValueError(f"{network} is every address; name those of the proxies only")
        return value

    @property
    def proxies(self) -> tuple[Network, ...]:
        """Return the addresses of the proxies in front."""
        return tuple(_networks_in(self.behind_proxy))

    @field_validator("public_url", "flower_url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if value and (urlsplit(value).scheme not in {"http", "https"} or not urlsplit(value).hostname):
            raise ValueError("must be an address such as https://roster.example.com")
        return value.rstrip("/")


def _resolve_secret(value: Any) -> Any:
    """Return the secret that `env:NAME` or `file:/path` refers to; a literal unchanged."""
    if not isinstance(value, str):
        return value
    kind, _, rest = value.partition(":")
    if kind == "env":
        if not os.environ.get(rest):
            raise ValueError(f"the environment variable {rest} is not set")
        value = os.environ[rest]
    if kind == "file":
        try:
            value = Path(rest).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"the file {rest} cannot be read ({type(error).__name__})") from None
    if not value.strip() or not value.isascii() or not value.isprintable():
        raise ValueError("a secret must be one line of plain ASCII text, and not empty")
    return value


def _lower(value: Any) -> Any:
    """Return a text in small letters, as DEBUG is often written, an empty one as None; anything else unchanged."""
    return value.lower() or None if isinstance(value, str) else value


#: An address that may contain a password: the text itself, `env:NAME` or `file:/path`.
HiddenText = Annotated[
    str,
    BeforeValidator(
        lambda value: (
            _resolve_secret(value) if isinstance(value, str) and value.startswith(("env:", "file:")) else value
        )
    ),
]
Secret = Annotated[SecretStr, BeforeValidator(_resolve_secret)]
Text = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]


class Folder(BaseModel):
    """A drop folder. The options are those of `roster run`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    #: The part after `folders.` in roster.toml.
    name: str = Field(max_length=200)
    #: The path of the folder.
    path: str = Field(min_length=1)
    #: The connection for its rosters; may be left out when only one is configured.
    connection: str | None = None
    #: The course for rows without one: `58`, `name:Fire Safety` or `ext:C-58`.
    course: Text | None = None
    #: Default values for empty cells, by column.
    set: dict[str, Text] = Field(default_factory=dict)
    #: Heading → column.
    map: dict[str, str] = Field(default_factory=dict)
    #: The worksheet; without it, the first visible one that has data.
    sheet: str | None = None
    #: The row that has the headings; without it, found.
    heading_row: int | None = Field(default=None, ge=1)
    #: Whether rows that are hidden in a spreadsheet are sent; without it, such a roster is refused.
    hidden_rows: HiddenRows | None = None
    #: The encoding of CSVs; without it, detected.
    encoding: str | None = None
    #: Send nothing if any row is invalid.
    strict: bool = False
    #: Register again, even if already registered.
    again: bool = False
    #: Update people who already exist at the LMS before they are registered.
    update_existing: bool = False
    #: A file is imported when it has not changed for this long (seconds).
    settle_seconds: float = Field(default=5.0, ge=0, le=3600)
    #: By when a new file must have come: `07:00`, or `MON-FRI 07:00`; without it, none is expected.
    expect_by: str | None = None
    #: The time zone of `expect_by`, such as `Europe/Dublin`; without it, that of this machine.
    zone: str | None = None

    @field_validator("expect_by")
    @classmethod
    def _is_expected_time(cls, value: str | None) -> str | None:
        return None if value is None else str(parse_expected_time(value))

    @field_validator("zone")
    @classmethod
    def _is_zone(cls, value: str | None) -> str | None:
        try:
            return None if value is None else ZoneInfo(value).key
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{value!r} is not a time zone such as Europe/Dublin") from None

    @field_validator("path")
    @classmethod
    def _is_no_address(cls, value: str) -> str:
        if "://" in value:
            raise ValueError("must be a folder of this machine or of a mounted share, not an address")
        return value


def find_duplicate_folders(folders: Sequence[Folder]) -> tuple[str, str] | None:
    """Return the names of two drop folders with the same path, or None."""
    names: dict[str, str] = {}
    for folder in folders:
        place = os.path.normcase(os.path.abspath(folder.path))  # noqa: PTH100 - without following links
        if place in names:
            return names[place], folder.name
        names[place] = folder.name
    return None


PREFIX = "ROSTER_"


class Settings(BaseSettings):
    """All settings in roster.toml; `connections` stays raw until its connector reads it."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        hide_input_in_errors=True,
    )

    #: The SQL database with jobs, rows and outcomes; also `env:NAME` or `file:/path`.
    ledger: HiddenText = "sqlite:///roster.db"
    #: Where rosters and reports are stored: a folder, or an address such as `s3://bucket/prefix`.
    files: str = Field(default="roster-files", min_length=1)
    #: Where uploads and drafts are stored if `files` is an address: a folder of this machine.
    scratch: str = "roster-scratch"
    #: `redis://host:6379/0`; also `env:NAME` or `file:/path`. Empty: this process does the work.
    broker: HiddenText = Field(default="", repr=False)
    #: How many batches of a job are with the workers or in the broker at a time.
    window: int = Field(default=8, ge=1, le=1000)
    #: How often the ledger is searched for work without a task message (seconds).
    sweep_seconds: float = Field(default=10.0, gt=0, le=600)
    #: How processes write their log: `text` or `json`.
    log: Literal["text", "json"] = "text"
    #: From which level on; without it, `info` for processes that stay and `error` for commands.
    log_level: Annotated[Literal["debug", "info", "warning", "error"] | None, BeforeValidator(_lower)] = None
    #: The web server: `[serve]`.
    serve: Serve = Field(default_factory=Serve)
    #: Raw tables by name; `worker.lms.read_connection` returns `Connection`s.
    connections: dict[str, dict[str, Any]] = Field(default_factory=dict, repr=False)
    #: Raw tables of the receivers of messages; `read_message_settings` reads them.
    messages: dict[str, dict[str, Any]] = Field(default_factory=dict, repr=False)
    #: The raw table of the mail server.
    mail: dict[str, Any] = Field(default_factory=dict, repr=False)
    #: Raw tables by name; `watched` returns `Folder`s.
    folders: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @field_validator("files")
    @classmethod
    def _as_path(cls, files: str) -> str:
        return files.removeprefix("file://")

    @field_validator("broker")
    @classmethod
    def _is_broker(cls, broker: str) -> str:
        if not broker:
            return broker
        try:
            parts = urlsplit(broker)
            database = parts.path.strip("/")
            good = parts.scheme in {"redis", "rediss"} and "://" in broker and parts.port != 0
            good = good and (database.isdecimal() or not database)
        except ValueError:
            good = False
        if not good or has_control_characters(broker):
            raise ValueError(
                f"{masked(broker)} is not an address such as redis://host:6379/0; in a password write @ as %40, "
                "/ as %2F, : as %3A and # as %23"
            )
        return broker

    @property
    def watched(self) -> tuple[Folder, ...]:
        """Return the drop folders."""
        return tuple(Folder(name=name, **table) for name, table in self.folders.items())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment override the file, whose values are the init values."""
        return env_settings, init_settings


class Connection(BaseModel):
    """One account on one LMS: the keys that every system has. A connector adds its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    #: The part after `connections.` in roster.toml.
    name: str
    #: The connector: one of Roster's own, such as `tahdah`, or of another package.
    system: str
    #: The base address of the API, without the paths of its endpoints.
    base_url: str
    #: Rows for each task, and for each registering call if the LMS takes several.
    batch_size: int = Field(default=100, ge=1, le=10_000)
    #: Calls in flight, over all processes that use this credential.
    max_in_flight: int = Field(default=8, ge=1, le=256)
    #: A known limit, such as `20/second`; without it, the pace is measured.
    rate: str | None = None
    #: Allow `http://` to another machine: the secrets are then sent in plain text.
    allow_http: bool = False
    #: How long a response may take before it counts as lost.
    timeout_seconds: float = Field(default=30.0, gt=0, le=600)
    #: How many consecutive rejections of one kind put the job on hold.
    breaker: int = Field(default=10, ge=2)
    #: A look-up that finds nothing is repeated after these pauses: an LMS may lag behind its own writes (seconds).
    lookup_pauses: tuple[float, ...] = Field(default=(0.5, 2.0, 6.0), min_length=1)
    #: How long after a call without an answer it is looked up again while the look-ups themselves fail (minutes).
    doubt_minutes: float = Field(default=60.0, ge=0)
    #: The longest pause that `roster run` waits for; for a longer one the job waits and the command ends (seconds).
    longest_pause_seconds: float = Field(default=6 * 3600.0, ge=0)

    @field_validator("base_url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            good = False
        if not good or any(character.isspace() for character in value):
            raise ValueError("must be an address such as https://lms.example.com")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("must be only an address, without user:password@, ? or #")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _http_is_for_loopback(self) -> Connection:
        parts = urlsplit(self.base_url)
        if parts.scheme == "http" and not self.allow_http and not is_loopback(parts.hostname or ""):
            raise ValueError(
                "base_url: http:// sends the secrets in plain text and is accepted for this machine only; "
                "use https://, or set allow_http = true"
            )
        return self


def is_loopback(host: str) -> bool:
    """Return whether a name or address is this machine's own."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
