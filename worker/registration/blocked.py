"""Why a row's candidate cannot be used now. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.ledger.intents import RowOutcome
from worker.ledger.restoring import LEDGER_RESTORED, MAY_BE_SENT
from worker.model import RowStatus

if TYPE_CHECKING:
    from worker.ledger.batches import Claim
    from worker.ledger.intents import WorkItem


#: How long a row waits for another batch that is creating its candidate, before it is left for later, and how often
#: it checks (seconds). Short: its own batch holds people meanwhile, for whom the other one may be waiting.
MAX_WAIT_SECONDS, POLL_SECONDS = 2.0, 0.1


@dataclass(frozen=True, slots=True)
class Blocked:
    """This candidate cannot be used now: with an outcome for the row, or None when another batch has it."""

    outcome: RowOutcome | None


BLOCKED_BY_OTHER_ROW = Blocked(
    RowOutcome(
        status=RowStatus.NOT_ATTEMPTED,
        error="The candidate is in doubt in another row; resolve it with `roster resolve`, then resume the job",
        code="candidate_in_doubt",
        is_made=False,
    )
)


def blocked_in_doubt(claim: Claim, work: WorkItem) -> Blocked:
    """Return the outcome of a row whose candidate was in doubt before this batch began."""
    if work.candidate.job_id == claim.job_id and work.candidate.row_id != work.row_id:
        return BLOCKED_BY_OTHER_ROW
    if work.candidate.is_suspected:
        return Blocked(RowOutcome(status=RowStatus.IN_DOUBT, error=MAY_BE_SENT, code=LEDGER_RESTORED))
    return Blocked(
        RowOutcome(
            status=RowStatus.IN_DOUBT,
            error="The creation of this candidate was sent before and its answer was lost; "
            "check the LMS for them, then use `roster resolve`",
            code="answer_lost",
        )
    )
