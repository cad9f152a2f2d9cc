"""Read the configuration once, from roster.toml and ROSTER_*, and say plainly what is wrong with it."""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_settings import SettingsError as PydanticSettingsError

from worker.errors import SettingsError
from worker.settings.models import PREFIX, Folder, Settings, two_of_one_path

#: Variables of ours that are no settings.
NOT_SETTINGS = frozenset({"ROSTER_CONFIG"})
EXAMPLE = """\
[connections.north]
system = "tahdah"
base_url = "https://api.tahdah.me"
token = "env:TAHDAH_TOKEN"
legal_entity_id = 42
behavior = 1"""


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
    tables = ("connections", "folders", "messages")
    settings = settings.model_copy(update={name: _joined(getattr(settings, name)) for name in tables})
    _refuse_bad_folders(settings, where=str(path or "the environment"))
    return _from_folder(settings, path.resolve().parent) if path else settings


def unknown_variables() -> list[str]:
    """Return a warning for each ROSTER_* variable that is no setting."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    strange = [
        name
        for name in os.environ
        if name.startswith(PREFIX) and name.split("__")[0] not in known and name not in NOT_SETTINGS
    ]
    return [f"the environment variable {name} is no setting of Roster{nearest(name, known)}" for name in strange]


def explain(error: ValidationError, model: type[BaseModel], *, where: str, table: str = "") -> str:
    """Return a validation error as lines that name the key, what is wrong, and the nearest known key."""
    lines = []
    for problem in error.errors(include_input=False, include_context=False, include_url=False):
        key = ".".join(str(part) for part in problem["loc"])
        full = f"{table}.{key}".strip(".")
        if problem["type"] == "extra_forbidden":
            *tables, name = (str(part) for part in problem["loc"])
            lines.append(f"unknown key {full}{nearest(name, _keys_of(model, tables))}")
        elif problem["type"] == "missing":
            lines.append(f"{full} is missing")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{full}: {message}" if key else f"{table}: {message}")
    return f"{where}: " + "; ".join(lines)


def _keys_of(model: type[BaseModel], tables: list[str]) -> set[str]:
    """Return the keys that may stand in a table, found by the names of the tables around it."""
    for name in tables:
        field = model.model_fields.get(name)
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            break
        model = field.annotation
    return {field.alias or name for name, field in model.model_fields.items()}


def _refuse_bad_folders(settings: Settings, *, where: str) -> None:
    for name, table in settings.folders.items():
        if "name" in table:
            raise SettingsError(f"{where}: unknown key folders.{name}.name; its name stands behind `folders.`")
        try:
            Folder(name=name, **table)
        except ValidationError as error:
            raise SettingsError(explain(error, Folder, where=where, table=f"folders.{name}")) from None
    twice = two_of_one_path(settings.watched)
    if twice:
        raise SettingsError(f"{where}: folders.{twice[0]} and folders.{twice[1]} are one folder; leave one out")


def _joined(tables: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Join what the environment (in small letters) and the file say of one name; the environment wins."""
    names: dict[str, str] = {}
    for name in tables:
        known = names.get(name.casefold())
        names[name.casefold()] = known if known is not None and name.islower() else name
    joined: dict[str, dict[str, Any]] = {name: {} for name in names.values()}
    for name in sorted(tables, key=str.islower):
        joined[names[name.casefold()]] |= tables[name]
    return joined


def nearest(name: str, known: set[str]) -> str:
    """Return the end of a sentence on an unknown name: the nearest known one, or all there are."""
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
    changes: dict[str, Any] = {}
    if "://" not in settings.files:
        changes["files"] = str(folder / settings.files)
    changes["scratch"] = str(folder / settings.scratch)
    head, found, file = settings.ledger.partition("sqlite:///")
    if found and not head and file and not Path(file).is_absolute() and file != ":memory:":
        changes["ledger"] = f"sqlite:///{folder / file}"
    for tables in ("connections", "messages"):
        named = getattr(settings, tables).items()
        changes[tables] = {name: _table_from(folder, table) for name, table in named}
    changes["mail"] = _table_from(folder, settings.mail)
    changes["folders"] = {
        name: {**table, "path": str(folder / Path(table["path"]).expanduser())}
        for name, table in settings.folders.items()
    }
    return settings.model_copy(update=changes)


def _table_from(folder: Path, table: dict[str, Any]) -> dict[str, Any]:
    return {key: _file_from(folder, value) for key, value in table.items()}


def _file_from(folder: Path, value: Any) -> Any:
    if isinstance(value, str) and value.startswith("file:"):
        return f"file:{folder / value.removeprefix('file:')}"
    return value
