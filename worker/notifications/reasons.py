"""Why a job stopped, in our own words: what an LMS answered may name people, and stays in the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.model import JobState
from worker.reports.codes import CODES
from worker.reports.labels import STATE_INFO

if TYPE_CHECKING:
    from worker.ledger.jobs import Job

#: Reasons that every other job of the connection would meet too.
TROUBLE = {
    "credentials_refused": "The LMS refused the credentials. Check this connection's token or key.",
    "certificate_refused": "The LMS's certificate is not valid for its address. Check base_url.",
    "redirected": "The LMS redirects to another address. Set base_url to where the API is.",
    "path_missing": "The LMS takes no registrations on this path. See registration_path.",
    "unreachable": "The LMS cannot be reached. Check base_url and whether the LMS is up.",
    "refused_for_long": "The LMS asked for a pause again and again. Resume the job later.",
    "breaker_open": "The LMS refused many rows in a row in the same way. The report has its words; mend the cause.",
}
_HELD = TROUBLE | {
    "workers_died": "Workers died again and again at work on the same rows. Look at their logs.",
    "configuration": "The configuration must be mended.",
    "unforeseen": "Something happened that should not have.",
}


def why(job: Job) -> str:
    """Return why a job is where it is, in plain sentences; empty where its counts say all there is."""
    if job.state is JobState.HELD and job.reason_code in _HELD:
        return _HELD[job.reason_code]
    if job.state is JobState.HELD and job.reason_code in CODES:
        code = CODES[job.reason_code]
        return f"{code.meaning} {code.remedy}"
    return "" if job.state.went_through else STATE_INFO[job.state].meaning
