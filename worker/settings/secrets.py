"""Values that must not be shown: written as they are, as `env:NAME` or as `file:/path`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, SecretStr


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
