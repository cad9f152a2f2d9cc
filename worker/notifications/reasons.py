"""Why a job stopped, in our own texts: a message of an LMS may name people, and is not sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.model import JobState
from worker.reports.codes import CODES
from worker.reports.labels import STATE_INFO

if TYPE_CHECKING:
    from worker.ledger.jobs import Job

#: Reasons that affect every other job of the connection too.
CONNECTION_REASONS = {
    "credentials_refused": "The LMS rejected the credentials. Check the token or key of this connection.",
    "certificate_refused": "The certificate of the LMS is not valid for its address. Check base_url.",
    "redirected": "The LMS redirects to another address. Set base_url to the address of the API.",
    "path_missing": "The LMS accepts no registrations at this path. Check registration_path.",
    "unreachable": "The LMS cannot be reached. Check base_url and whether the LMS is up.",
    "refused_for_long": "The LMS asked for pauses for too long. Resume the job later.",
    "breaker_open": "The LMS rejected many rows in a row for the same reason. Fix the cause; see the report.",
}
_HOLD_REASONS = CONNECTION_REASONS | {
    "workers_died": "Workers crashed repeatedly on the same rows. Check their logs.",
    "configuration": "The configuration must be fixed.",
    "unforeseen": "An unexpected error occurred.",
}


def reason_of(job: Job) -> str:
    """Return why a job is in its state, in plain sentences; empty when its counts say it all."""
    if job.state is JobState.HELD and job.reason_code in _HOLD_REASONS:
        return _HOLD_REASONS[job.reason_code]
    if job.state is JobState.HELD and job.reason_code in CODES:
        code = CODES[job.reason_code]
        return f"{code.meaning} {code.remedy}"
    return "" if job.state.went_through else STATE_INFO[job.state].meaning
