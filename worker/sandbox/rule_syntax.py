"""Reading the compact words of the command line: `register:lost-after:every=7`. Knows nothing of what they mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

#: What turns the text of one value into the value.
Reader = Callable[[str], Any]


class RuleSyntaxError(ValueError):
    """An option of the sandbox cannot be read; the message says what would do."""


def split(text: str) -> tuple[list[str], dict[str, str]]:
    """Return the plain words and the `key=value` words of a text, separated by colons."""
    plain: list[str] = []
    named: dict[str, str] = {}
    for word in (part.strip() for part in text.split(":")):
        key, is_named, value = word.partition("=")
        if is_named:
            named[key.strip()] = value.strip()
        elif word:
            plain.append(word)
    return plain, named


def read(named: Mapping[str, Any], readers: Mapping[str, Reader], text: str) -> dict[str, Any]:
    """Turn the values of `key=value` words into what they mean; `-` and `_` in a key are the same."""
    values: dict[str, Any] = {}
    for key, value in named.items():
        name = key.replace("-", "_")
        reader = readers.get(name)
        if reader is None:
            known = ", ".join(sorted(each.replace("_", "-") for each in readers))
            raise RuleSyntaxError(f"{text!r}: {key!r} is not known here. Known: {known}.")
        try:
            values[name] = reader(str(value))
        except ValueError as problem:
            raise RuleSyntaxError(f"{text!r}: {key}={value} cannot be read ({problem}).") from None
    return values


def yes(value: str) -> bool:
    """Read yes or no."""
    folded = value.casefold()
    if folded in {"yes", "true", "1", "on"}:
        return True
    if folded in {"no", "false", "0", "off"}:
        return False
    raise ValueError("say yes or no")
