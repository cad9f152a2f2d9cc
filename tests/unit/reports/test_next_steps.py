"""The closing words are right in every state, whatever became of the rows."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime

import pytest

from worker.model import JobState, RowStatus
from worker.reports.kinds import ReportKind, file_name
from worker.reports.labels import next_steps

FAILED_CSV = file_name("spring.xlsx", ReportKind.FAILED)
#: One of each kind of status: done, refused by Roster, by the LMS, unconfirmed, not sent, a duplicate.
STATUSES = (
    RowStatus.REGISTERED,
    RowStatus.INVALID,
    RowStatus.REJECTED,
    RowStatus.IN_DOUBT,
    RowStatus.NOT_ATTEMPTED,
    RowStatus.SKIPPED,
)
COMBINATIONS = [
    dict(zip(some, counts, strict=True))
    for size in range(len(STATUSES) + 1)
    for some in itertools.combinations(STATUSES, size)
    for counts in ([1] * size, [3] * size)
]


@pytest.mark.parametrize("is_purged", [False, True], ids=["kept", "purged"])
@pytest.mark.parametrize("not_before", [None, datetime(2026, 3, 1, 9, tzinfo=UTC)], ids=["no time", "a time"])
@pytest.mark.parametrize("state", JobState)
def test_the_closing_words_are_right_in_every_state_with_any_rows(a_summary, state, not_before, is_purged):
    for by_status in COMBINATIONS:
        total = sum(by_status.values())
        summary = a_summary(
            state=state, total=total, by_status=by_status, not_before=not_before, is_purged=is_purged
        )
        steps = next_steps(summary, FAILED_CSV)
        said = " ".join(steps)
        is_open = any(status.is_open for status in by_status)

        assert all(steps), (by_status, steps)
        assert steps, by_status
        assert not re.search(r"\bin +[(.,]|  |\{|\b1 rows\b|\b3 row\b|None", said), said
        is_over = (state.has_ended and state is not JobState.INVALID) or (is_purged and not state.is_moving)
        is_over = is_over and state is not JobState.UNDONE
        assert ("All rows are done" in said) == (is_over and not is_open and RowStatus.REGISTERED in by_status), (
            said
        )
        assert ("Nothing yet" in said) == state.is_moving, said
        if state.is_moving:
            continue
        assert (FAILED_CSV in said) == (
            not is_purged and bool({RowStatus.INVALID, RowStatus.REJECTED} & set(by_status))
        ), said
        if RowStatus.NOT_ATTEMPTED in by_status:
            assert re.search(r"roster (retry|resume) 7|run (it|its file|the original file) again", said), (
                by_status,
                said,
            )
        if RowStatus.IN_DOUBT in by_status and not is_purged:
            assert "roster resolve 7" in said
        if is_purged:
            assert not re.search(r"roster (retry|resolve|report|resume)", said), said


def test_a_job_that_was_cancelled_before_it_was_read_says_so(a_summary):
    (step,) = next_steps(a_summary(state=JobState.CANCELLED, total=0, by_status={}), FAILED_CSV)

    assert step.startswith("No rows were read.")
