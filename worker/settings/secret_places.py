"""Where the secrets of a configuration are: in roster.toml itself, and in files that it names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.settings.loading import config_path, read_toml
from worker.settings.models import PREFIX, Settings

_REFERENCE = "file:"
_ELSEWHERE = ("env:", _REFERENCE)
#: Keys that are addresses and may have a password in them.
_ADDRESSES = ("ledger", "broker", "files")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretPlaces:
    """Where secrets are."""

    #: The configuration file; None when there is none.
    config: Path | None
    #: The keys of the configuration file that contain a secret themselves.
    literal_keys: tuple[str, ...]
    #: The files that contain one secret each.
    files: tuple[Path, ...]


def secret_places(config: Path | None, settings: Settings, secret_keys: Iterable[tuple[str, ...]]) -> SecretPlaces:
    """Return where the secrets are; `secret_keys` are the paths of the keys that may be secret, in the tables."""
    path = config_path(config)
    values = read_toml(path) if path else {}
    literal = [
        ".".join(keys)
        for keys in secret_keys
        if isinstance(found := _value_at(values, keys), str) and not found.startswith(_ELSEWHERE)
    ]
    literal += [key for key in _ADDRESSES if _has_password(values.get(key, ""))]
    tables = [*settings.connections.values(), *settings.messages.values(), settings.mail]
    texts = [text for table in tables for text in table.values() if isinstance(text, str)]
    folder = path.resolve().parent if path else Path.cwd()
    addresses = [os.environ.get(f"{PREFIX}{key.upper()}", str(values.get(key, ""))) for key in ("ledger", "broker")]
    return SecretPlaces(
        config=path,
        literal_keys=tuple(literal),
        files=tuple(
            folder / text.removeprefix(_REFERENCE) for text in [*texts, *addresses] if text.startswith(_REFERENCE)
        ),
    )


def _value_at(values: Mapping[str, Any], keys: Iterable[str]) -> Any:
    found: Any = values
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _has_password(value: Any) -> bool:
    return isinstance(value, str) and not value.startswith(_ELSEWHERE) and "@" in value and "://" in value
