"""The page's labels of the statuses of rows that are still to be sent."""

from __future__ import annotations

from dataclasses import replace

from worker.model import RowStage, RowStatus
from worker.reports.labels import STATUS_INFO, UNREGISTERED, StatusInfo

#: A row without an outcome, while its job is moving.
_PENDING = replace(STATUS_INFO[RowStatus.NOT_ATTEMPTED], label="Pending", meaning="Waiting to be sent.")
_NOT_YET = replace(UNREGISTERED, label="Not registered yet", meaning="The person is in the LMS already.")


def status_info(status: RowStatus, stage: RowStage | None = None, *, is_moving: bool) -> StatusInfo:
    """Return how a status is shown; while the job is moving, a row without an outcome is pending."""
    if status is not RowStatus.NOT_ATTEMPTED:
        return STATUS_INFO[status]
    if stage is RowStage.CANDIDATE_CREATED:
        return _NOT_YET if is_moving else UNREGISTERED
    return _PENDING if is_moving else STATUS_INFO[status]
