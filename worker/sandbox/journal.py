"""What was asked and how it was answered: the last calls one by one, all calls by count. Holds no bodies."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """One call: seconds since the epoch, what, and the status of the answer (0 = none was given)."""

    time: float
    system: str
    operation: str
    status: int


class Journal:
    """A bounded list of calls, and counts that are not bounded."""

    def __init__(self, length: int) -> None:
        self._entries: deque[Entry] = deque(maxlen=length)
        self._counts: Counter[tuple[str, str, int]] = Counter()

    def note(self, at: float, system: str, operation: str, status: int) -> None:
        """Note a call and its answer."""
        self._entries.append(Entry(at, system, operation, status))
        self._counts[system, operation, status] += 1

    def entries(self) -> list[dict[str, Any]]:
        """Return the calls that are still kept, the oldest first."""
        return [asdict(entry) for entry in self._entries]

    def by_operation(self) -> dict[str, dict[str, dict[str, int]]]:
        """Return the counts: system, operation, status ("no_answer" where none was given)."""
        counts: dict[str, dict[str, dict[str, int]]] = {}
        for (system, operation, status), count in sorted(self._counts.items()):
            statuses = counts.setdefault(system, {}).setdefault(operation, {})
            statuses[str(status) if status else "no_answer"] = count
        return counts
