"""Everything in roster.toml."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict


class Serve(BaseModel):
    """How `roster serve` is reached, and what it takes from whom."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    #: The address to listen on; another one than this machine's own needs an account (`roster user add`).
    host: str = "127.0.0.1"
    #: The port to listen on; 0 for any that is free.
    port: int = Field(default=8000, ge=0, le=65_535)
    #: The address under which people reach the page, when that is not host and port: https://roster.example.com.
    public_url: str = ""
    #: The addresses of the proxies in front, with commas; their X-Forwarded headers are believed, nobody else's.
    behind_proxy: str = ""
    #: The largest roster that is taken (MB).
    max_upload_mb: int = Field(default=100, ge=1, le=10_000)
    #: So long a sign-in holds after its last use (hours).
    session_hours: float = Field(default=12.0, gt=0, le=24 * 90)
    #: So many calls of the API a client may make in a minute, spread or at once.
    calls_per_minute: int = Field(default=6_000, ge=10)
    #: Whether /metrics is open to whoever reaches the port, accounts or not.
    open_metrics: bool = False
    #: Where Flower is, for the link on the page.
    flower_url: str = ""

    @field_validator("public_url", "flower_url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if value and (urlsplit(value).scheme not in {"http", "https"} or not urlsplit(value).hostname):
            raise ValueError("must be an address such as https://roster.example.com")
        return value.rstrip("/")


def _resolve_secret(value: Any) -> Any:
    """Return the secret that `env:NAME` or `file:/path` points to; a literal as it is."""
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


#: An address that may hold a password: the text itself, `env:NAME` or `file:/path`.
Hidden = Annotated[
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
    """A folder in which rosters are dropped. The options are those of `roster run` (contract §2)."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    #: The name behind `folders.` in roster.toml.
    name: str = Field(max_length=200)
    #: Where it is.
    path: str = Field(min_length=1)
    #: Through which connection its rosters go; may be left out when only one is configured.
    connection: str | None = None
    #: For rows that name no course: `58`, `name:Fire Safety` or `ext:C-58`.
    course: Text | None = None
    #: Values for the rows that leave a column empty.
    set: dict[str, Text] = Field(default_factory=dict)
    #: Heading → column.
    map: dict[str, str] = Field(default_factory=dict)
    #: The worksheet; without it, the first visible one that has data.
    sheet: str | None = None
    #: Of CSVs; without it, found out.
    encoding: str | None = None
    #: Any invalid row: nothing is sent.
    strict: bool = False
    #: Register even where the ledger already knows the registration.
    again: bool = False
    #: Bring people who are on the LMS already up to date before they are registered.
    update_existing: bool = False
    #: A file is whole when its size and time have not changed for so long.
    settle_seconds: float = Field(default=5.0, ge=0, le=3600)

    @field_validator("path")
    @classmethod
    def _is_no_address(cls, value: str) -> str:
        if "://" in value:
            raise ValueError("must be a folder of this machine or of a mounted share, not an address")
        return value


def two_of_one_path(folders: Sequence[Folder]) -> tuple[str, str] | None:
    """Return the names of two folders that are one and the same place, if there are such."""
    names: dict[str, str] = {}
    for folder in folders:
        place = os.path.normcase(os.path.abspath(folder.path))  # noqa: PTH100 - without following links
        if place in names:
            return names[place], folder.name
        names[place] = folder.name
    return None


PREFIX = "ROSTER_"


class Settings(BaseSettings):
    """Everything in roster.toml; `connections` stays raw until its connector reads it."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        hide_input_in_errors=True,
    )

    #: The SQL database that holds the truth on jobs, rows and outcomes; also `env:NAME` or `file:/path`.
    ledger: Hidden = "sqlite:///roster.db"
    #: Where rosters and reports are kept: a folder, or an address such as `s3://bucket/prefix`.
    files: str = "roster-files"
    #: Where uploads wait and drafts lie when `files` is an address: a folder of this machine.
    scratch: str = "roster-scratch"
    #: `redis://host:6379/0`; also `env:NAME` or `file:/path`. Empty: this process does the work.
    broker: Hidden = Field(default="", repr=False)
    #: So many batches of a job are with the workers or in the broker at a time.
    window: int = Field(default=8, ge=1, le=1000)
    #: How often the ledger is searched for work that nobody was asked to do (seconds).
    sweep_seconds: float = Field(default=10.0, gt=0, le=600)
    #: How workers write their log: `text` or `json`.
    log: Literal["text", "json"] = "text"
    #: The web door: `[serve]`.
    serve: Serve = Field(default_factory=Serve)
    #: Raw tables by name; `worker.lms.read_connection` makes them `Connection`s.
    connections: dict[str, dict[str, Any]] = Field(default_factory=dict, repr=False)
    #: Raw tables of those who are told when a job ends or needs a person; `read_post` reads them.
    messages: dict[str, dict[str, Any]] = Field(default_factory=dict, repr=False)
    #: The raw table of the mail server through which e-mail goes.
    mail: dict[str, Any] = Field(default_factory=dict, repr=False)
    #: Raw tables by name; `watched` makes them `Folder`s.
    folders: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @field_validator("files")
    @classmethod
    def _as_path(cls, files: str) -> str:
        return files.removeprefix("file://")

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
        """Let the environment win over the file, which comes as the init values."""
        return env_settings, init_settings


class Connection(BaseModel):
    """One account on one LMS; what every system has. A connector adds its own keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    #: The name behind `connections.` in roster.toml.
    name: str
    #: The connector: `tahdah` or `kmi`.
    system: str
    #: Where the API stands, without the paths of its pages.
    base_url: str
    #: Rows that one task works off, and that one registering call takes where the LMS has such a call.
    batch_size: int = Field(default=100, ge=1, le=10_000)
    #: Calls at once, over all who use this credential.
    max_in_flight: int = Field(default=8, ge=1, le=256)
    #: A limit somebody knows, such as `20/second`; without it the pace is found out.
    rate: str | None = None
    #: `http://` beyond this machine: the secrets then travel in the clear.
    allow_http: bool = False
    #: How long an answer may take before it counts as lost.
    timeout_seconds: float = Field(default=30.0, gt=0, le=600)
    #: So many refusals of one kind in a row put the job on hold.
    breaker: int = Field(default=10, ge=2)
    #: A look-up that finds nothing is believed after these pauses: an LMS may lag behind its own writes.
    lookup_pauses: tuple[float, ...] = Field(default=(0.5, 2.0, 6.0), min_length=1)
    #: The longest pause that `roster run` sits out; for a longer one the job waits and the command ends.
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
            raise ValueError("must be an address alone, without user:password@, ? or #")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _http_is_for_loopback(self) -> Connection:
        parts = urlsplit(self.base_url)
        if parts.scheme == "http" and not self.allow_http and not is_loopback(parts.hostname or ""):
            raise ValueError(
                "base_url: http:// sends the secrets in the clear and is accepted for this machine only; "
                "use https://, or set allow_http = true"
            )
        return self


def is_loopback(host: str) -> bool:
    """Tell whether a name or address is this machine's own."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
