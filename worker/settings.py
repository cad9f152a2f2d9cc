"""The configuration, read once from roster.toml and ROSTER_*; frozen.

Knows no LMS: a connection's own keys are declared by its connector, as a subclass of `Connection`.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import tomllib
from pathlib import Path
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
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import (
    SettingsError as PydanticSettingsError,
)

from worker.errors import SettingsError

PREFIX = "ROSTER_"
#: Variables of ours that are no settings.
NOT_SETTINGS = frozenset({"ROSTER_CONFIG"})
EXAMPLE = """\
[connections.north]
system = "tahdah"
base_url = "https://api.tahdah.me"
token = "env:TAHDAH_TOKEN"
legal_entity_id = 42
behavior = 1"""

AnyModel = TypeVar("AnyModel", bound=BaseModel)


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
        if parts.scheme == "http" and not self.allow_http and not _is_loopback(parts.hostname or ""):
            raise ValueError(
                "base_url: http:// sends the secrets in the clear and is accepted for this machine only; "
                "use https://, or set allow_http = true"
            )
        return self


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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
    #: Where uploads are kept: a folder.
    files: str = "roster-files"
    #: `redis://host:6379/0`; also `env:NAME` or `file:/path`. Empty: this process does the work.
    broker: Hidden = Field(default="", repr=False)
    #: So many batches of a job are with the workers or in the broker at a time.
    window: int = Field(default=8, ge=1, le=1000)
    #: How often the ledger is searched for work that nobody was asked to do (seconds).
    sweep_seconds: float = Field(default=10.0, gt=0, le=600)
    #: How workers write their log: `text` or `json`.
    log: Literal["text", "json"] = "text"
    #: Raw tables by name; `worker.lms.read_connection` makes them `Connection`s.
    connections: dict[str, dict[str, Any]] = Field(default_factory=dict, repr=False)

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


def load(config: Path | None) -> Settings:
    """Read the configuration from `config`, else $ROSTER_CONFIG, else ./roster.toml.

    Relative paths in it count from the folder of the file, so that a job found from one folder is found from any.
    Raises SettingsError that names the file, the key and the nearest known one.
    """
    path = _config_path(config)
    values = _read_toml(path) if path else {}
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise SettingsError(explain(error, Settings, where=str(path or "the environment"))) from None
    except PydanticSettingsError:
        raise SettingsError(
            "ROSTER_CONNECTIONS: set single keys, such as ROSTER_CONNECTIONS__NORTH__TOKEN"
        ) from None
    settings = settings.model_copy(update={"connections": _joined(settings.connections)})
    return _from_folder(settings, path.resolve().parent) if path else settings


def unknown_variables() -> list[str]:
    """Return a warning for each ROSTER_* variable that is no setting."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    strange = [
        name
        for name in os.environ
        if name.startswith(PREFIX) and name.split("__")[0] not in known and name not in NOT_SETTINGS
    ]
    return [f"the environment variable {name} is no setting of Roster{_nearest(name, known)}" for name in strange]


def explain(error: ValidationError, model: type[BaseModel], *, where: str, table: str = "") -> str:
    """Return a validation error as lines that name the key, what is wrong, and the nearest known key."""
    lines = []
    for problem in error.errors(include_input=False, include_context=False, include_url=False):
        key = ".".join(str(part) for part in problem["loc"])
        full = f"{table}.{key}".strip(".")
        if problem["type"] == "extra_forbidden":
            lines.append(f"unknown key {full}{_nearest(key, set(model.model_fields))}")
        elif problem["type"] == "missing":
            lines.append(f"{full} is missing")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{full}: {message}" if key else f"{table}: {message}")
    return f"{where}: " + "; ".join(lines)


def _joined(connections: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Join what the environment (in small letters) and the file say of one connection; the environment wins."""
    names: dict[str, str] = {}
    for name in connections:
        known = names.get(name.casefold())
        names[name.casefold()] = known if known is not None and name.islower() else name
    joined: dict[str, dict[str, Any]] = {name: {} for name in names.values()}
    for name in sorted(connections, key=str.islower):
        joined[names[name.casefold()]] |= connections[name]
    return joined


def _nearest(name: str, known: set[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(sorted(known))}"


def _config_path(config: Path | None) -> Path | None:
    named = config or (Path(os.environ["ROSTER_CONFIG"]) if os.environ.get("ROSTER_CONFIG") else None)
    if named is not None:
        if not named.is_file():
            raise SettingsError(f"The configuration file {named} does not exist")
        return named
    default = Path("roster.toml")
    return default if default.is_file() else None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"The configuration file {path} cannot be read: {error}") from None


def _from_folder(settings: Settings, folder: Path) -> Settings:
    changes = {}
    if "://" not in settings.files:
        changes["files"] = str(folder / settings.files)
    head, found, file = settings.ledger.partition("sqlite:///")
    if found and not head and file and not Path(file).is_absolute() and file != ":memory:":
        changes["ledger"] = f"sqlite:///{folder / file}"
    connections = {
        name: {key: _file_from(folder, value) for key, value in table.items()}
        for name, table in settings.connections.items()
    }
    return settings.model_copy(update={**changes, "connections": connections})


def _file_from(folder: Path, value: Any) -> Any:
    if isinstance(value, str) and value.startswith("file:"):
        return f"file:{folder / value.removeprefix('file:')}"
    return value
