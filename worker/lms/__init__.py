"""Learning management systems: the connections in roster.toml, and the connector of each."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from contextlib import suppress
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr, ValidationError

from worker import settings
from worker.errors import SettingsError
from worker.lms import connectors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from worker.lms.contract import Connector, WebhookReader
    from worker.lms.http import LmsClient
    from worker.model import RowRules
    from worker.settings import Connection


#: The group of the entry points by which other packages add connectors: the system's name, and its module.
GROUP = "roster.connectors"


def systems() -> list[str]:
    """Return the supported systems: one file each in `connectors/`, and those of other packages."""
    return sorted({*_own_systems(), *_added_systems()})


def read_connection(name: str, raw: Mapping[str, Any]) -> Connection:
    """Return the connection that roster.toml describes under `connections.<name>`.

    Raises SettingsError that names the key at fault.
    """
    if "system" not in raw:
        missing = settings.missing_key("system", raw, f"connections.{name}", systems())
        raise SettingsError(f"The configuration: {missing}")
    system = str(raw["system"])
    if not _is_supported(system):
        known = ", ".join(systems())
        raise SettingsError(f"connections.{name}.system: {raw['system']!r} is not supported; supported are {known}")
    model: type[Connection] = load_connector(system).Settings
    try:
        return model.model_validate({**raw, "name": name})
    except ValidationError as error:
        where = settings.explain_validation(error, model, where="The configuration", table=f"connections.{name}")
        raise SettingsError(where) from None


def unknown_keys(connections: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each key of the connections that is not known. No secret is read and no value checked.

    The keys of a system that is not supported here cannot be checked, nor those of a connector that fails.
    """
    found: list[str] = []
    for name, raw in connections.items():
        table = f"connections.{name}"
        if "system" not in raw:
            found.append(settings.missing_key("system", raw, table, systems()))
        elif _is_supported(system := str(raw["system"])):
            with suppress(SettingsError):  # a connector that cannot be loaded is an error where it is used
                found += settings.unknown_keys(_settings_of(system), raw, table)
    return found


def _is_supported(system: str) -> bool:
    return system in _own_systems() or system in _added_systems()


def _settings_of(system: str) -> type[Connection]:
    """Return the settings of a system, without loading its connector where they are in a module of their own."""
    if system in _own_systems():
        with suppress(ModuleNotFoundError):
            own: type[Connection] = importlib.import_module(f"{__name__}.{system}.settings").Settings
            return own
    model: type[Connection] = load_connector(system).Settings
    return model


def secret_keys(connection: Connection) -> list[str]:
    """Return the keys of a connection that are secrets."""
    return [key for key, value in connection if isinstance(value, SecretStr)]


def literal_secrets(connection: Connection, raw: Mapping[str, Any]) -> list[str]:
    """Return a warning for each secret that is stored in the configuration itself."""
    return [
        f"connections.{connection.name}.{key} is stored in the configuration itself; "
        "put it into the environment (env:NAME) or a file (file:/path)"
        for key in secret_keys(connection)
        if not str(raw.get(key, "")).startswith(("env:", "file:"))
    ]


def rules_of(connection: Connection) -> RowRules:
    """Return what a connection requires of a row."""
    rules: RowRules = load_connector(connection.system).rules(connection)
    return rules


def headers_of(connection: Connection) -> dict[str, str]:
    """Return the headers that authenticate a connection."""
    headers: dict[str, str] = load_connector(connection.system).headers(connection)
    return headers


def credentials_of(connection: Connection) -> dict[str, str]:
    """Return what tells accounts of one address apart: the headers, or what the connector sends instead."""
    credential = getattr(load_connector(connection.system), "credential", None)
    return headers_of(connection) if credential is None else {"credential": credential(connection)}


def webhook_reader_of(connection: Connection) -> WebhookReader | None:
    """Return the reader of a connection's webhooks; None when it accepts none."""
    reader_of_module = getattr(load_connector(connection.system), "webhook_reader", None)
    hook: WebhookReader | None = reader_of_module(connection) if reader_of_module else None
    return hook


def connect(connection: Connection, client: LmsClient) -> Connector:
    """Return the connector of a connection."""
    connector: Connector = load_connector(connection.system).connect(connection, client)
    return connector


def load_connector(system: str) -> ModuleType:
    """Return the connector's module for a system. Raises SettingsError when that of another package fails."""
    if system in _own_systems():
        return importlib.import_module(f"{connectors.__name__}.{system}")
    point = _added_systems()[system]
    try:
        module: ModuleType = point.load()
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"The connector of {system} ({point.value}) cannot be loaded: {error}") from None
    return module


@functools.cache
def _own_systems() -> frozenset[str]:
    return frozenset(module.name for module in pkgutil.iter_modules(connectors.__path__))


@functools.cache
def _added_systems() -> Mapping[str, EntryPoint]:
    """Return the connectors of other packages by system; looked for only when a system is none of Roster's own."""
    return {point.name: point for point in entry_points(group=GROUP) if point.name not in _own_systems()}
