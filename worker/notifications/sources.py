"""Notify people once when a roster does not come, and once when it comes again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.ledger import outbox, schedules, sources
from worker.ledger.sources import RosterSource, SourceProblem
from worker.settings import Event

if TYPE_CHECKING:
    from worker.ledger.database import Transaction
    from worker.ledger.outbox import Message
    from worker.settings import MessageSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceContent:
    """The content about a schedule or a drop folder."""

    #: `schedule:NAME` or `folder:NAME`.
    source: str
    #: The same for people: `schedule nightly`.
    label: str
    problem: SourceProblem
    #: What is wrong, or was, as a sentence.
    reason: str
    #: Since when (seconds since 1970).
    since: float
    #: When the schedule runs next; None for a drop folder.
    next_at: float | None = None
    zone: str = "UTC"
    #: The page that shows it; empty without a public address.
    link: str = ""

    @property
    def name(self) -> str:
        """Return the name of the schedule or the folder."""
        return self.source.partition(":")[2]

    @property
    def is_folder(self) -> bool:
        """Return whether it is about a drop folder."""
        return self.source.startswith("folder:")


def enqueue(tx: Transaction, settings: MessageSettings) -> None:
    """Add to the outbox which sources have a problem, and which have none any more."""
    for source in sources.to_notify(tx):
        if source.problem is None:
            _enqueue_well(tx, settings, source)
        else:
            _enqueue_trouble(tx, settings, source)


def read_content(message: Message, public_url: str) -> SourceContent:
    """Return the content of a message about a source."""
    values: dict[str, Any] = dict(message.detail or {})
    problem = SourceProblem(values.pop("problem"))
    return SourceContent(**values, problem=problem, link=f"{public_url}/schedules" if public_url else "")


def is_outdated(tx: Transaction, message: Message, event: Event) -> bool:
    """Return whether what a message says is no longer true."""
    source = sources.find(tx, (message.detail or {}).get("source", ""))
    if source is None:
        return True
    if event is Event.SOURCE_WELL:
        return source.problem is not None
    return source.problem is None or message.dedup_key != _key(source, source.since)


def _enqueue_trouble(tx: Transaction, settings: MessageSettings, source: RosterSource) -> None:
    sources.change(tx, source.name, notified_since=source.since)
    detail = _detail(tx, source)
    for name, receiver in settings.receivers.items():
        if receiver.wants(Event.SOURCE_TROUBLE, source.connection):
            key = _key(source, source.since)
            _add(tx, source, receiver=name, event=Event.SOURCE_TROUBLE, dedup_key=key, detail=detail)


def _enqueue_well(tx: Transaction, settings: MessageSettings, source: RosterSource) -> None:
    """Notify those who may have got the message about the problem that it is over."""
    sources.change(tx, source.name, notified_since=None)
    about, detail = _key(source, source.notified_since), _detail(tx, source)
    for name, receiver in settings.receivers.items():
        if receiver.wants(Event.SOURCE_WELL, source.connection) and outbox.was_attempted(tx, name, about):
            key = f"well-{about}"
            _add(tx, source, receiver=name, event=Event.SOURCE_WELL, dedup_key=key, detail=detail)


def _add(tx: Transaction, source: RosterSource, **values: Any) -> None:
    outbox.add(tx, connection=source.connection, **values)


def _key(source: RosterSource, since: float | None) -> str:
    """Return the deduplication key of a problem; the name may be longer than a key."""
    return f"source-{source.digest}-{since!r}"


def _detail(tx: Transaction, source: RosterSource) -> dict[str, Any]:
    run = None if source.is_folder else schedules.find(tx, source.short_name)
    return {
        "source": source.name,
        "label": source.label,
        "problem": source.problem or source.last_problem,
        "reason": source.reason,
        "since": source.since,
        "next_at": None if run is None else run.next_at,
        "zone": "UTC" if run is None else run.zone,
    }
