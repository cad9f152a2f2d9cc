"""Count in the ledger how often the reading of a roster began: one that kills its reader is not read for ever.

An attempt counts until it has read further than any before it; the rows of a large roster are read through as many
restarts as it takes. That an attempt died does not say that the roster was the reason: a server may be killed at
any moment. So the next attempt has the roster read in a child process first (`worker.intake.trial`), whose end says
it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.errors import UnreadableRoster
from worker.ledger import key_value

if TYPE_CHECKING:
    from worker.ledger.database import Transaction

#: This many attempts that read no further than those before them are the last ones, whatever the trials have shown.
MAX_ATTEMPTS = 20
_ATTEMPTS, _FURTHEST = "attempts", "furthest_chunk"


def begin(tx: Transaction, job_id: int) -> int:
    """Count an attempt before the roster is opened; return how many before it died without reading further."""
    known = key_value.get(tx, _key(job_id)) or {}
    died: int = known.get(_ATTEMPTS, 0)
    _save(tx, job_id, died + 1, known.get(_FURTHEST, 0))
    return died


def read_chunk(tx: Transaction, job_id: int, chunk: int) -> None:
    """Record that the attempt has read this many chunks of rows."""
    known = key_value.get(tx, _key(job_id)) or {}
    if chunk > known.get(_FURTHEST, 0):
        _save(tx, job_id, 1, chunk)


def withdraw(tx: Transaction, job_id: int) -> None:
    """Take the count of an attempt back that ended by an error and not by the death of its process."""
    known = key_value.get(tx, _key(job_id)) or {}
    _save(tx, job_id, max(known.get(_ATTEMPTS, 0) - 1, 0), known.get(_FURTHEST, 0))


def end(tx: Transaction, job_id: int) -> None:
    """Forget the attempts of a roster that was read, or refused."""
    key_value.delete(tx, _key(job_id))


def check(died: int) -> None:
    """Raise UnreadableRoster when too many attempts died."""
    if died >= MAX_ATTEMPTS:
        raise UnreadableRoster(
            f"Reading this roster has ended or frozen Roster {died} times, so it is not read again. Open "
            "it in a spreadsheet program, save it as an Excel workbook (.xlsx) or as CSV UTF-8, and submit that"
        )


def _key(job_id: int) -> str:
    return f"reading:{job_id}"


def _save(tx: Transaction, job_id: int, attempts: int, furthest: int) -> None:
    key_value.put(tx, _key(job_id), {_ATTEMPTS: attempts, _FURTHEST: furthest})
