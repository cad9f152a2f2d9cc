"""Unexpected errors: what may be logged of them without personal data, and how the rest continues."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from worker.errors import RosterError

_ADDRESS = re.compile(r"[^\s\"'<>(),;:]{1,64}@[^\s\"'<>(),;:]{1,255}")
#: What is written in the place of personal data.
HIDDEN = "…"


def location_of(error: BaseException) -> str:
    """Return the class and location of an error; its own text may hold personal data and is left out."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"


@contextmanager
def log_and_continue(what: str, **about: Any) -> Iterator[None]:
    """Log any failure of the block and continue: the next sweep tries again. `about` is logged too."""
    import structlog  # noqa: PLC0415 - a tenth of a second that no help page needs

    log = structlog.get_logger("roster")
    try:
        yield
    except RosterError as error:
        log.warning("left to the next sweep", what=what, reason=type(error).__name__, **about)
    except Exception as error:  # noqa: BLE001 - one failure must not stop the rest
        place = location_of(error)
        log.error("left to the next sweep", what=what, place=place, **about)  # noqa: TRY400 - the traceback may hold names


def without_addresses(text: str) -> str:
    """Return a text with each e-mail address hidden."""
    return _ADDRESS.sub(HIDDEN, text)
