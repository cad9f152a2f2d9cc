"""Notice that the ledger is older than what was sent: it was restored from a backup, or a copy of it was used.

The number of calls that it has recorded only grows. While jobs run, the number is also written to a file in the
folder of the rosters, under the identity of the ledger, and the two are compared before a job is run.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from worker.errors import UsageError
from worker.ledger import jobs, key_value
from worker.private_files import create_private_file, make_private_folder

if TYPE_CHECKING:
    from pathlib import Path

    from worker.ledger.database import Transaction

FILE_NAME = ".calls.json"
_IDENTITY = "identity"
OLDER = (
    "This ledger is older than what was sent with it: it was restored from a backup, or a copy of it was used. "
    "People would be registered twice. Run `roster ledger restored` (docs/operations.md) before anything else"
)


@dataclass(frozen=True, slots=True)
class HighWaterMark:
    """The file with the number of calls of each ledger that was used with this folder."""

    folder: Path

    def begin(self, tx: Transaction) -> None:
        """Give the ledger an identity when it has none. Raises UsageError when it is older than the file."""
        if self.is_above(tx):
            raise UsageError(OLDER)
        if _identity(tx) is None:
            renew_identity(tx)

    def is_above(self, tx: Transaction) -> bool:
        """Return whether more calls were written to the file than the ledger has."""
        identity = _identity(tx)
        written = self._read().get(identity, 0) if identity is not None else 0
        return written > 0 and written > jobs.count_all_calls(tx)

    def raise_to(self, tx: Transaction) -> None:
        """Write how many calls the ledger has; a file that cannot be written stays as it is."""
        identity, counts = _identity(tx), self._read()
        if identity is None or counts.get(identity, 0) >= (count := jobs.count_all_calls(tx)):
            return
        with suppress(OSError):
            make_private_folder(self.folder)
            new = self.folder / f"{FILE_NAME}-{uuid4().hex[:12]}"
            with create_private_file(new) as file:
                file.write(json.dumps({**counts, identity: count}).encode())
            new.replace(self.folder / FILE_NAME)

    def _read(self) -> dict[str, int]:
        """Return the numbers by identity; none when the file is not there or cannot be read."""
        try:
            found: Any = json.loads((self.folder / FILE_NAME).read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        counts = found if isinstance(found, dict) else {}
        return {name: count for name, count in counts.items() if isinstance(count, int)}


def renew_identity(tx: Transaction) -> None:
    """Give the ledger a new identity, of which no file has a number."""
    key_value.put(tx, _IDENTITY, {"id": uuid4().hex})


def _identity(tx: Transaction) -> str | None:
    found = key_value.get(tx, _IDENTITY)
    return str(found["id"]) if found else None
