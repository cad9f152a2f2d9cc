"""What commands say of jobs, rows, schedules and receivers: as people see them, without empty counts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from tests.builders import a_job
from worker.cli.main import roster
from worker.cli.restored import _lines
from worker.cli.schedules import _cost
from worker.errors import SettingsError, UsageError
from worker.jobs.restored import Restored
from worker.ledger.database import open_engine
from worker.model import JobState
from worker.schedules.forecast import Cost


def said(*words: str) -> str:
    """Return what a command that is refused says."""
    result = CliRunner().invoke(roster, words)
    assert isinstance(result.exception, UsageError), result.output
    return str(result.exception)


def test_a_job_without_rows_is_listed_without_counts(ledger, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with ledger.write() as tx:
        a_job(tx, JobState.INVALID, roster="bad.xlsx")

    listed = CliRunner().invoke(roster, ["jobs"]).output

    assert "File rejected" in listed
    assert "0 of 0" not in listed
    assert listed.rstrip().endswith("bad.xlsx")


def test_a_row_without_an_answer_is_asked_for_one(ledger, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with ledger.write() as tx:
        job_id = a_job(tx)

    for words in ((), ("--absent", "--candidate-id", "5")):
        text = said("resolve", str(job_id), "2", *words)
        assert "exactly one of --candidate-id ID, --registration-id ID and --absent" in text


def test_no_ledger_is_made_for_a_receiver_that_is_not_configured(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert "There is no receiver 'office'" in said("message", "test", "office")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        (Cost(rows=12, least=0, most=0, seconds=0.0), "currently 12 rows, no calls to the LMS"),
        (Cost(rows=1, least=2, most=2, seconds=0.04), "currently 1 row, 2 calls, under a second"),
        (Cost(rows=9, least=2, most=9, seconds=65.0), "currently 9 rows, 2 to 9 calls, about 1 min 5 s"),
        (Cost(rows=9, least=9, most=9), "currently 9 rows, 9 calls, no rate is known yet"),
    ],
)
def test_what_a_run_of_a_schedule_takes_is_said_without_zeros(cost, text):
    assert _cost(SimpleNamespace(cost=cost)) == text


@pytest.mark.parametrize(
    ("people", "registrations", "text"),
    [
        (0, 0, "Nothing that this ledger has is in doubt"),
        (1, 0, "1 person and 0 registrations that were not sent by then are in doubt"),
    ],
)
def test_what_is_in_doubt_after_a_restore_is_said_with_numbers_or_not_at_all(people, registrations, text):
    found = Restored(
        last_written=1.0,
        held={},
        unread=(),
        ahead=(),
        candidates=people,
        registrations=registrations,
        schedules=(),
        unknown=(),
    )

    assert text in "\n".join(_lines(found))


@pytest.mark.parametrize("url", ["mysql://x", "postgresql+psycopg2://x", "oracle://x", "nosuch://x"])
def test_a_ledger_of_another_kind_is_refused_with_those_that_work(url):
    with pytest.raises(SettingsError, match=r"supported are sqlite:///FILE and postgresql\+psycopg://USER@HOST/"):
        open_engine(url)
