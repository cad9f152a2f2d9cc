"""What is said of a job's state is true of its rows."""

from __future__ import annotations

from typing import Any

import pytest

from worker.model import JobState, Relation, RowStatus
from worker.reports.labels import next_steps, related_texts, state_meaning
from worker.reports.lines import Summary

DONE, SKIPPED, UNSENT = RowStatus.REGISTERED, RowStatus.SKIPPED, RowStatus.NOT_ATTEMPTED


def a_summary(state: JobState, **values: Any) -> Summary:
    by_status = values.pop("by_status", {})
    total = sum(by_status.values())
    return Summary(job=1, roster="a.csv", connection="kmi", state=state, total=total, by_status=by_status, **values)


@pytest.mark.parametrize(
    ("summary", "meaning"),
    [
        (a_summary(JobState.SUCCEEDED, by_status={DONE: 2}), "Every row is done."),
        (a_summary(JobState.SUCCEEDED, by_status={DONE: 2, SKIPPED: 1}), "Every row is done or was skipped."),
        (a_summary(JobState.SUCCEEDED, by_status={SKIPPED: 1}), "Every row was skipped; nothing was sent."),
        (a_summary(JobState.CANCELLED), "Cancelled before its rows were read; nothing was sent."),
        (a_summary(JobState.CANCELLED, by_status={DONE: 2}), "No row was left to send."),
        (a_summary(JobState.CANCELLED, by_status={UNSENT: 2}), "The remaining rows were not sent."),
        (
            a_summary(JobState.CANCELLED, by_status={UNSENT: 2}, unsent_created=1),
            "The remaining rows were not sent, or their people not registered.",
        ),
    ],
)
def test_the_meaning_of_a_state_fits_its_rows(summary: Summary, meaning: str) -> None:
    assert state_meaning(summary) == meaning


def test_all_rows_are_only_called_done_when_none_was_skipped() -> None:
    summary = a_summary(JobState.SUCCEEDED, by_status={DONE: 2, SKIPPED: 1})

    assert next_steps(summary, "a.failed.csv") == ("All rows are done or were skipped.",)


def test_a_job_of_which_something_is_left_is_partly_undone() -> None:
    values = {"by_status": {DONE: 2}, "related": {Relation.UNDONE_BY: [5]}}

    assert related_texts(a_summary(JobState.SUCCEEDED, **values)) == ["partly undone by job 5"]
    assert related_texts(a_summary(JobState.UNDONE, **values)) == ["undone by job 5"]
