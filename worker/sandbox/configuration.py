"""The connections to the sandbox, as roster.toml has them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from worker.sandbox.state import SandboxState


def configuration(
    state: SandboxState,
    url: str,
    *,
    systems: Iterable[str] | None = None,
    secret: Callable[[str], str] = lambda value: value,
) -> str:
    """Return a connection to each system, or to the named ones; `secret` returns what to write for a secret."""
    wanted = set(state.systems if systems is None else systems)
    return "\n".join(_table(state, name, url, secret) for name in state.systems if name in wanted)


def _table(state: SandboxState, system: str, url: str, secret: Callable[[str], str]) -> str:
    connection = state.systems[system].connection(url)
    values = {"system": system, **connection.values}
    values |= {key: secret(str(values[key])) for key in connection.secrets}
    lines = [f"[connections.{connection.name}]", *(f"{key} = {_toml(value)}" for key, value in values.items())]
    return "\n".join(lines) + "\n"


def _toml(value: str | int) -> str:
    """Return a value as TOML writes it, which for texts and numbers is as JSON does."""
    return json.dumps(value, ensure_ascii=False)
