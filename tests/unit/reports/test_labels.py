from __future__ import annotations

from datetime import UTC, datetime

import pytest

from worker.intake.problems import ProblemCode
from worker.model import JobState, RowStatus
from worker.reports.codes import CODES, explain
from worker.reports.labels import next_steps


@pytest.mark.parametrize("code", ProblemCode)
def test_every_code_of_an_invalid_row_is_explained(code):
    assert code in CODES


def test_an_unknown_code_points_to_the_message_of_the_row():
    assert "_error" in explain("odd_code_of_a_new_connector").meaning


def test_every_code_says_what_to_do():
    assert all(code.meaning.endswith((".", ")")) and code.remedy for code in CODES.values())


def test_when_every_row_is_done_there_is_nothing_to_do(a_summary):
    summary = a_summary(state=JobState.SUCCEEDED, total=1, by_status={RowStatus.REGISTERED: 1})

    assert next_steps(summary, "x.failed.csv") == ("All rows are done.",)


@pytest.mark.parametrize(
    ("invalid", "rejected", "says"),
    [
        (2, 1, "2 rows are invalid, 1 row was rejected. Fix them in spring.failed.csv"),
        (1, 0, "1 row is invalid. Fix it in spring.failed.csv"),
        (2, 0, "2 rows are invalid. Fix them in spring.failed.csv"),
        (0, 3, "3 rows were rejected. Fix them in spring.failed.csv"),
    ],
)
def test_rows_to_be_fixed_are_invalid_or_were_rejected_by_the_lms(a_summary, invalid, rejected, says):
    counts = {RowStatus.INVALID: invalid, RowStatus.REJECTED: rejected}
    summary = a_summary(total=invalid + rejected, by_status=counts)

    (step,) = next_steps(summary, "spring.failed.csv")

    assert step.startswith(says)


def test_an_unconfirmed_row_is_for_a_person_to_look_up(a_summary):
    (step,) = next_steps(a_summary(total=1, by_status={RowStatus.IN_DOUBT: 1}), "x.failed.csv")

    assert step.startswith("1 row is unconfirmed")
    assert "roster resolve 7 ROW" in step


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (JobState.HELD, "roster resume 7"),
        (JobState.PAUSED, "roster resume 7"),
        (JobState.WAITING, "at 2026-03-01T09:00:00Z"),
        (JobState.RUNNING, "roster report 7"),
        (JobState.CANCELLED, "roster retry 7"),
        (JobState.COMPLETED_WITH_ERRORS, "roster resume 7"),
    ],
)
def test_a_job_that_has_not_succeeded_says_how_it_continues(a_summary, state, says):
    summary = a_summary(
        state=state,
        total=1,
        by_status={RowStatus.NOT_ATTEMPTED: 1},
        not_before=datetime(2026, 3, 1, 9, tzinfo=UTC),
    )

    assert says in next_steps(summary, "x.failed.csv")[0]
