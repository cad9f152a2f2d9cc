"""What the review of a draft showed: a scheduled job shows it until its roster is read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from worker.ledger import key_value

if TYPE_CHECKING:
    from worker.ledger.database import Transaction
    from worker.web.pages.preview import Preview


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """The numbers of a preview, and when it was made (seconds since 1970)."""

    made_at: float
    rows: int
    to_send: int
    people: int
    #: As the preview words it: `204`, or `204 to 210`.
    calls: str
    rate: float | None
    seconds: float | None


def save(tx: Transaction, job_id: int, preview: Preview) -> None:
    """Keep what the review showed with the job of the draft."""
    reviewed = Reviewed(
        made_at=preview.made_at,
        rows=preview.total,
        to_send=preview.to_send,
        people=preview.people,
        calls=preview.calls,
        rate=preview.rate,
        seconds=preview.seconds,
    )
    key_value.put(tx, _key(job_id), asdict(reviewed))


def find(tx: Transaction, job_id: int) -> Reviewed | None:
    """Return what the review showed; None for a job that was not reviewed on the page."""
    saved = key_value.get(tx, _key(job_id))
    return Reviewed(**saved) if saved else None


def _key(job_id: int) -> str:
    return f"reviewed:{job_id}"
