"""A connector and a pretend LMS of another package, found by entry points as an installed one is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker import lms
from worker.sandbox import systems

TOY = Path(__file__).parent / "toy"


@contextmanager
def toy_installed() -> Iterator[None]:
    """Have the package on the path of this process, and forget it afterwards."""
    sys.path.insert(0, str(TOY))
    _forget()
    try:
        yield
    finally:
        sys.path.remove(str(TOY))
        _forget()


def _forget() -> None:
    lms._added_systems.cache_clear()
    systems.installed.cache_clear()
