from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from worker.model import JobState, RowStage, RowStatus
from worker.reports.lines import REPORT_COLUMNS, utc_text


def test_a_summary_whose_counts_do_not_add_up_raises_an_error(a_summary):
    with pytest.raises(ValueError, match="the counts do not add up: 3 rows, 2 outcomes"):
        a_summary(total=3, by_status={RowStatus.REGISTERED: 2})


def test_the_summary_names_every_status_even_when_no_row_has_it(a_summary):
    by_status = a_summary(total=1, by_status={RowStatus.IN_DOUBT: 1}).to_json()["by_status"]

    assert list(by_status) == [str(status) for status in RowStatus]
    assert by_status["in_doubt"] == 1
    assert sum(by_status.values()) == 1


def test_the_summary_has_the_documented_keys_in_the_documented_order(a_summary):
    keys = list(a_summary().to_json())

    assert keys[:16] == [
        "job",
        "roster",
        "connection",
        "state",
        "total",
        "by_status",
        "candidates_created",
        "registrations_created",
        "calls",
        "rate_limited",
        "waited_seconds",
        "bisected_batches",
        "started_at",
        "finished_at",
        "duration_seconds",
        "reports",
    ]
    assert keys[16:] == ["reason", "not_before", "warnings", "stages", "related", "open_rows", "verified"]


def test_a_waiting_job_says_why_and_until_when(a_summary):
    said = a_summary(
        state=JobState.WAITING, reason="The LMS asked for a pause.", not_before=datetime(2026, 3, 1, 9, tzinfo=UTC)
    ).to_json()

    assert said["state"] == "waiting"
    assert said["reason"] == "The LMS asked for a pause."
    assert said["not_before"] == "2026-03-01T09:00:00Z"


def test_times_are_written_in_utc_with_a_z():
    summer_in_amsterdam = datetime(2026, 7, 1, 0, 30, 5, 900_000, tzinfo=timezone(timedelta(hours=2)))

    assert utc_text(summer_in_amsterdam) == "2026-06-30T22:30:05Z"


def test_a_time_without_a_time_zone_is_rejected():
    with pytest.raises(ValueError, match="zone"):
        utc_text(datetime(2026, 7, 1))  # noqa: DTZ001 - the point of the test


def test_the_columns_of_the_report_are_in_the_documented_order(a_line):
    line = a_line(
        "a@x.org",
        row=42,
        status=RowStatus.REJECTED,
        error="No such course.",
        error_code="unknown_course",
        column="Course",
        candidate_id="c1",
        registration_id="r1",
        created=True,
        attempts=2,
        http_status=404,
        stage=RowStage.CANDIDATE_CREATED,
        job=7,
    )

    assert dict(zip(REPORT_COLUMNS, line.report_cells, strict=True)) == {
        "_row": 42,
        "_status": "rejected",
        "_error": "No such course.",
        "_error_code": "unknown_course",
        "_column": "Course",
        "_candidate_id": "c1",
        "_registration_id": "r1",
        "_created": "true",
        "_attempts": 2,
        "_http_status": 404,
        "_when": "2026-03-01T09:30:00Z",
        "_stage": "candidate_created",
        "_job": 7,
    }


def test_unknown_values_are_empty(a_line):
    line = a_line(status=RowStatus.NOT_ATTEMPTED, when=None)

    assert line.report_cells[2:] == ("", "", "", "", "", "false", 0, "", "", "", "")
