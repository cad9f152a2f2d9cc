from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from tests.builders import a_job_of, a_row, records_of
from tests.unit.schedules.test_due import ROSTER, a_schedule
from worker.ledger import schema
from worker.ledger.database import now
from worker.model import JobState
from worker.schedules.forecast import Span, find_overlaps, forecast_runs, job_spans

if TYPE_CHECKING:
    from pathlib import Path

    from worker.bootstrap import Services

SPANS = st.lists(
    st.builds(
        lambda start, length, connection: Span(what="x", connection=connection, start=start, end=start + length),
        st.integers(0, 50),
        st.integers(0, 10),
        st.sampled_from(["north", "south"]),
    ),
    max_size=8,
)


def test_the_next_runs_and_their_cost_are_forecast_and_nothing_is_stored(
    services: Services, tmp_path: Path
) -> None:
    roster = tmp_path / "hr.csv"
    roster.write_text(ROSTER + "ben@example.org,Ben,Ó,58\n")
    schedule = a_schedule(services, roster, next_at=now() + 60)

    (ahead,) = forecast_runs(services, [schedule], 3)

    assert (ahead.cost.rows, ahead.cost.most, ahead.cost.seconds) == (2, 4, 0.4)
    assert len(ahead.times) == 3
    assert ahead.times[0] == schedule.next_at
    assert records_of(services.ledger, schema.job) == []
    assert records_of(services.ledger, schema.candidate) == []


def test_without_a_measured_pace_there_are_calls_but_no_time(services: Services, tmp_path: Path) -> None:
    (tmp_path / "hr.csv").write_text(ROSTER)
    (ahead,) = forecast_runs(services, [a_schedule(services, tmp_path / "hr.csv", connection="south")], 1)

    assert (ahead.cost.most, ahead.cost.seconds) == (2, None)


def test_a_source_that_cannot_be_read_has_a_reason_and_times(services: Services) -> None:
    (ahead,) = forecast_runs(services, [a_schedule(services, "nowhere.csv")], 2)

    assert "does not exist" in ahead.cost.unknown_reason
    assert len(ahead.times) == 2


def test_open_jobs_use_their_connection_until_they_will_have_ended(services: Services) -> None:
    a_job_of(services.ledger, *(a_row(number) for number in range(2, 22)), state=JobState.RUNNING)
    a_job_of(services.ledger, a_row(2), state=JobState.SUCCEEDED)

    (span,) = job_spans(services)

    assert span.connection == "north"
    assert span.end > span.start


def test_jobs_for_later_begin_then(services: Services) -> None:
    later = now() + 500
    a_job_of(services.ledger, a_row(2), state=JobState.SCHEDULED, not_before=later)

    assert [span.start for span in job_spans(services)] == [later]


@given(SPANS)
def test_two_runs_overlap_when_a_moment_of_one_connection_is_in_both(spans: list[Span]) -> None:
    wanted = 0
    for number, one in enumerate(spans):
        for other in spans[:number]:
            common = max(one.start, other.start) <= min(one.end, other.end)
            wanted += one.connection == other.connection and common

    found = find_overlaps(spans)

    assert len(found) == wanted
    assert all(first.start <= second.start <= first.end for first, second in found)
