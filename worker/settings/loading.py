"""Read the configuration once, from roster.toml and ROSTER_*, and report plainly what is wrong with it."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_settings import SettingsError as PydanticSettingsError

from worker.errors import SettingsError
from worker.settings.models import PREFIX, Folder, HiddenText, Serve, Settings, find_duplicate_folders

#: The tables of one name each: `[connections.north]`.
NAMED_TABLES = ("connections", "folders", "messages")
#: Settings that are tables: their variables have further parts, as in ROSTER_SERVE__PORT.
_TABLES = (*NAMED_TABLES, "mail", "serve")
#: ROSTER_* variables that are not settings.
OTHER_VARIABLES = frozenset({"ROSTER_CONFIG", "ROSTER_TOKEN"})
#: What Kubernetes and Docker set in each container for a service that is called roster.
_OF_A_SERVICE = re.compile(r"ROSTER_(?:SERVICE_(?:HOST|PORT)\w*|PORT_[0-9]+_(?:TCP|UDP)\w*|PORT)")
_SERVE = f"{PREFIX}SERVE__"
#: What a value must be, by pydantic's name of the error.
_EXPECTED = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "a table of keys",
    "model_type": "a table of keys",
    "float_parsing": "a number",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "string_too_short": "a text that is not empty",
    "string_type": "a text",
    "tuple_type": "a list",
}
EXAMPLE = """\
[connections.north]
system = "tahdah"
base_url = "https://api.tahdah.me"
token = "env:TAHDAH_TOKEN"
legal_entity_id = 42
behavior = 1"""


def load(config: Path | None) -> Settings:
    """Read the configuration from `config`, else $ROSTER_CONFIG, else ./roster.toml.

    Relative paths in it are relative to the folder of the file, so that every working folder finds the same ledger.
    Raises SettingsError that names the file, the key and the nearest known one.
    """
    path = config_path(config)
    values = read_toml(path) if path else {}
    _refuse_unknown_variables(values)
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise SettingsError(explain_validation(error, Settings, where=str(path or "the environment"))) from None
    except PydanticSettingsError:
        raise SettingsError(
            "ROSTER_CONNECTIONS: set single keys, such as ROSTER_CONNECTIONS__NORTH__TOKEN"
        ) from None
    settings = settings.model_copy(update={name: _merge_tables(getattr(settings, name)) for name in NAMED_TABLES})
    _check_names(settings, where=str(path or "the environment"))
    _check_folders(settings, where=str(path or "the environment"))
    return _resolve_paths(settings, path.resolve().parent) if path else settings


def _refuse_unknown_variables(values: object) -> None:
    """Raise SettingsError for a ROSTER_* variable that is no setting and that no secret is read from."""
    ours = {name: value for name, value in os.environ.items() if name.upper().startswith(PREFIX)}
    used = {*OTHER_VARIABLES, *_named_variables(values), *_named_variables(ours)}
    for name, value in ours.items():
        is_of_a_service = _OF_A_SERVICE.fullmatch(name) and (name != "ROSTER_PORT" or "://" in value)
        if not (_is_setting(name.upper()) or name in used or is_of_a_service):
            near = _nearest_variable(name.upper())
            raise SettingsError(f"The environment variable {name} is not a Roster setting{near}")


def _is_setting(variable: str) -> bool:
    """Return whether a variable, in capitals, is a setting.

    The keys of named tables and of `mail` are checked where these are read.
    """
    setting, nested, key = variable.removeprefix(PREFIX).lower().partition("__")
    if setting == "serve":
        return key in Serve.model_fields or not nested
    return setting in (_TABLES if nested else Settings.model_fields)


def _nearest_variable(variable: str) -> str:
    serve = {f"{_SERVE}{key.upper()}" for key in Serve.model_fields}
    if variable.startswith(_SERVE):
        return suggestion(variable, serve)
    others = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    return suggestion(variable, others | serve | OTHER_VARIABLES)


def _named_variables(values: object) -> Iterator[str]:
    """Yield the names of the variables that `env:NAME` in the configuration refers to."""
    if isinstance(values, str):
        if values.startswith("env:"):
            yield values.removeprefix("env:")
    elif isinstance(values, Mapping):
        for value in values.values():
            yield from _named_variables(value)


def explain_validation(error: ValidationError, model: type[BaseModel], *, where: str, table: str = "") -> str:
    """Return a validation error as text: each key, what is wrong with it, and the nearest known key."""
    lines = []
    for problem in error.errors(include_input=False, include_context=False, include_url=False):
        key = ".".join(str(part) for part in problem["loc"])
        full = f"{table}.{key}".strip(".")
        if problem["type"] == "extra_forbidden":
            *tables, name = (str(part) for part in problem["loc"])
            lines.append(f"unknown key {full}{suggestion(name, _keys_of(model, tables))}")
        elif problem["type"] == "missing":
            lines.append(f"{full} is missing")
        else:
            message = _plain(problem["type"], problem["msg"])
            lines.append(f"{full}: {message}" if key else f"{table}: {message}")
    return f"{where}: " + "; ".join(lines)


def _plain(kind: str, message: str) -> str:
    """Return what pydantic says of a value in the words of the configuration."""
    if kind in _EXPECTED:
        return f"must be {_EXPECTED[kind]}"
    return message.removeprefix("Value error, ").replace("Input should be", "must be")


def unknown_keys(model: type[BaseModel], raw: Mapping[str, Any], table: str) -> list[str]:
    """Return a sentence for each key that a table may not have; no value is read. The name is not a key."""
    known = _keys_of(model, []) - {"name"}
    return [f"unknown key {table}.{key}{_instead(key, known, table)}" for key in raw if key not in known]


def _instead(key: str, known: set[str], table: str) -> str:
    kind = table.partition(".")[0]
    return f"; the name is the part after `{kind}.`" if key == "name" else suggestion(key, known)


def missing_key(key: str, raw: Mapping[str, Any], table: str, choices: Iterable[str]) -> str:
    """Return a sentence about a key without which the others of its table cannot be checked."""
    near = difflib.get_close_matches(key, raw, n=1)
    if near:
        return f"unknown key {table}.{near[0]}; did you mean {key}?"
    return f"{table}.{key} is missing; write one of {', '.join(choices)}"


def _keys_of(model: type[BaseModel], tables: list[str]) -> set[str]:
    """Return the keys that a table may have, found by the names of the tables around it."""
    for name in tables:
        field = model.model_fields.get(name)
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            break
        model = field.annotation
    return {field.alias or name for name, field in model.model_fields.items()}


def _check_names(settings: Settings, *, where: str) -> None:
    for table in NAMED_TABLES:
        if any(not name.strip() for name in getattr(settings, table)):
            raise SettingsError(f"{where}: a table of {table} has no name; write [{table}.NAME]")


def _check_folders(settings: Settings, *, where: str) -> None:
    for name, table in settings.folders.items():
        if "name" in table:
            raise SettingsError(f"{where}: unknown key folders.{name}.name; the name is the part after `folders.`")
        try:
            Folder(name=name, **table)
        except ValidationError as error:
            raise SettingsError(explain_validation(error, Folder, where=where, table=f"folders.{name}")) from None
    twice = find_duplicate_folders(settings.watched)
    if twice:
        raise SettingsError(f"{where}: folders.{twice[0]} and folders.{twice[1]} are the same folder; remove one")


def _merge_tables(tables: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Merge the tables of one name from the environment (in lower case) and the file; the environment wins."""
    names: dict[str, str] = {}
    for name in tables:
        known = names.get(name.casefold())
        names[name.casefold()] = known if known is not None and name.islower() else name
    joined: dict[str, dict[str, Any]] = {name: {} for name in names.values()}
    for name in sorted(tables, key=str.islower):
        joined[names[name.casefold()]] |= tables[name]
    return joined


def suggestion(name: str, known: set[str]) -> str:
    """Return the end of a sentence about an unknown name: the nearest known name, or all of them."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(sorted(known))}"


def read_address(value: str) -> str:
    """Return an address, which may be given as `env:NAME` or `file:/path`. Raises SettingsError."""
    try:
        return TypeAdapter(HiddenText).validate_python(value)
    except ValidationError as error:
        (problem,) = error.errors(include_input=False, include_context=False, include_url=False)
        raise SettingsError(f"The address: {problem['msg'].removeprefix('Value error, ')}") from None


def config_path(config: Path | None) -> Path | None:
    """Return the configuration file; None when there is none. Raises SettingsError when a named one is missing."""
    named = config or (Path(os.environ["ROSTER_CONFIG"]) if os.environ.get("ROSTER_CONFIG") else None)
    if named is not None:
        if not named.is_file():
            wrong = "does not exist"
            if named.exists():
                wrong = "is a folder; name the file in it" if named.is_dir() else "is not a file"
            raise SettingsError(f"The configuration file {named} {wrong}")
        return named
    default = Path("roster.toml")
    return default if default.is_file() else None


def read_toml(path: Path) -> dict[str, Any]:
    """Return the values of a configuration file. Raises SettingsError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"The configuration file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(
            f"The configuration file {path} cannot be read: it is not UTF-8 text; save it as UTF-8"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"The configuration file {path} cannot be read: {error}") from None


def _resolve_paths(settings: Settings, folder: Path) -> Settings:
    changes: dict[str, Any] = {}
    if "://" not in settings.files:
        changes["files"] = str(folder / settings.files)
    changes["scratch"] = str(folder / settings.scratch)
    head, found, file = settings.ledger.partition("sqlite:///")
    if found and not head and file and not Path(file).is_absolute() and file != ":memory:":
        changes["ledger"] = f"sqlite:///{folder / file}"
    for tables in ("connections", "messages"):
        named = getattr(settings, tables).items()
        changes[tables] = {name: _resolve_table(folder, table) for name, table in named}
    changes["mail"] = _resolve_table(folder, settings.mail)
    changes["folders"] = {
        name: {**table, "path": str(folder / Path(table["path"]).expanduser())}
        for name, table in settings.folders.items()
    }
    return settings.model_copy(update=changes)


def _resolve_table(folder: Path, table: dict[str, Any]) -> dict[str, Any]:
    return {key: _resolve_file(folder, value) for key, value in table.items()}


def _resolve_file(folder: Path, value: Any) -> Any:
    if isinstance(value, str) and value.startswith("file:"):
        return f"file:{folder / value.removeprefix('file:')}"
    return value
