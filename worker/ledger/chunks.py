"""Cut long lists of values into chunks that fit into one statement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Values in one statement; SQLite allows 32,766.
CHUNK = 5_000


def chunks(values: Sequence[Any], size: int = CHUNK) -> Iterator[Sequence[Any]]:
    """Yield `values` in chunks of up to `size`."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
