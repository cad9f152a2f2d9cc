"""Errors that nobody foresaw: what may be told of them, and how the rest goes on."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from worker.errors import RosterError


def place_of(error: BaseException) -> str:
    """Return the kind of an error and where it came up; its own text may hold personal data and is left out."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"


@contextmanager
def left_to_next_sweep(what: str, **about: Any) -> Iterator[None]:
    """Log whatever fails within, and go on: the next sweep does it again. `about` is logged beside it."""
    import structlog  # noqa: PLC0415 - a tenth of a second that no help page needs

    log = structlog.get_logger("roster")
    try:
        yield
    except RosterError as error:
        log.warning("left to the next sweep", what=what, reason=type(error).__name__, **about)
    except Exception as error:  # noqa: BLE001 - whatever it is, what is beside it goes on
        place = place_of(error)
        log.error("left to the next sweep", what=what, place=place, **about)  # noqa: TRY400 - it may tell names
