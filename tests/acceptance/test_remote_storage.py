"""`files` may be an address: rosters and reports are kept there, and this machine keeps neither."""

from __future__ import annotations

import pytest

from tests.conftest import FIRST_NAME

PEOPLE = 4


@pytest.fixture
def elsewhere(sandbox, office, tmp_path):
    """An office whose `files` lie at an address, and the folder that is behind it."""
    terminal, bucket = office(sandbox()), tmp_path / "bucket"
    config = terminal.folder / "roster.toml"
    config.write_text(f'files = "local://{bucket}/rosters"\n{config.read_text("utf-8")}', encoding="utf-8")
    return terminal, bucket / "rosters"


def files_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_roster_is_stored_there_and_run_from_there(elsewhere):
    terminal, bucket = elsewhere
    terminal.people("roster.csv", PEOPLE)

    assert terminal.run("roster.csv").counts == {"registered": PEOPLE}

    (kept,) = files_below(bucket)
    assert FIRST_NAME in (bucket / kept).read_text("utf-8")
    assert not (terminal.folder / "roster-files").exists()


def test_the_reports_of_an_upload_are_stored_there_and_can_be_fetched(elsewhere, web_server, wait_until):
    terminal, bucket = elsewhere
    served = web_server(terminal)
    job = served.run_to_end(terminal.people("roster.csv", PEOPLE))["job"]

    reports = bucket / "reports" / str(job)
    wait_until((reports / "roster.summary.json").exists, "the reports")

    assert files_below(reports) == ["roster.results.csv", "roster.results.xlsx", "roster.summary.json"]
    told = served.client.get(f"/api/jobs/{job}").json()
    assert told["by_status"]["registered"] == PEOPLE
    assert str(reports) in (reports / "roster.summary.json").read_text("utf-8")
    assert served.client.get(f"/api/jobs/{job}/results.csv").status_code == 200


def test_purged_jobs_leave_nothing_there(elsewhere):
    terminal, bucket = elsewhere
    terminal.people("roster.csv", PEOPLE)
    terminal.run("roster.csv")

    assert terminal.type("purge", "--older-than", "0d").code == 0

    assert files_below(bucket) == []


def test_a_job_that_cannot_be_removed_there_is_not_reported_as_purged(elsewhere):
    terminal, _ = elsewhere
    terminal.people("roster.csv", PEOPLE)
    job = terminal.run("roster.csv").job
    terminal.environment["ROSTER_FILES"] = "s3://bucket/elsewhere"

    told = terminal.type("purge", "--older-than", "0d")

    assert told.code == 2
    assert f"Job {job} was not purged" in told.err
    assert terminal.type("report", job).code == 0


def test_doctor_writes_there_and_removes_it_again(elsewhere):
    terminal, bucket = elsewhere

    told = terminal.type("doctor")

    assert "rosters can be written" in told.out
    assert files_below(bucket) == []


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("https://example.com/x", "files cannot be stored at https://"),
        ("memory://x", "files cannot be stored at memory://"),
        ("s3://user:secret@bucket/x", "needs the Python package s3fs"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_before_anything_is_sent(sandbox, office, address, said):
    lms = sandbox()
    terminal = office(lms)
    terminal.environment["ROSTER_FILES"] = address
    terminal.people("roster.csv", PEOPLE)

    told = terminal.type("run", "roster.csv")

    assert told.code == 2
    assert said in told.err
    assert "secret" not in told.err
    assert lms.calls() == 0
