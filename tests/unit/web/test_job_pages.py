"""A job's page when an action is refused or asks for confirmation, and the lists of jobs and schedules."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from prometheus_client import generate_latest

from tests.builders import a_job, a_job_of, a_row, change_records, records_of, state_of
from tests.unit.web.conftest import TOKEN, form_in
from worker.ledger import batches, jobs, key_value, schedules, schema, sources
from worker.ledger.database import now
from worker.ledger.queue import LAST_SWEEP
from worker.ledger.sources import SourceProblem
from worker.metrics import JobMetrics
from worker.model import JobState, RegistrationState, RowStatus

if TYPE_CHECKING:
    from tests.unit.web.conftest import Browser


async def press(browser: Browser, job: int, action: str) -> str:
    token = form_in(await browser.get("/"), "upload")["csrf"]
    return await browser.follow(await browser.post(f"/jobs/{job}/{action}", {"csrf": token}))


@pytest.fixture
def job_in_doubt(browser: Browser) -> int:
    """Return a job with two rows whose registrations are in doubt."""
    ledger = browser.services.ledger
    job_id = a_job_of(ledger, a_row(2), a_row(3), state=JobState.COMPLETED_WITH_ERRORS)
    with ledger.write() as tx:
        batches.close_batches(tx, job_id)
    change_records(ledger, schema.row, status=RowStatus.IN_DOUBT, error="lost", error_code="answer_lost")
    change_records(ledger, schema.registration, state=RegistrationState.IN_DOUBT, job_id=job_id, sent_at=now())
    return job_id


def links(text: str) -> list[str]:
    """Return the targets of the links in a page's content."""
    return re.findall(r'(?:href|url)="?=?([^"]*)"', text.partition("<main")[2])


async def test_every_link_of_the_page_of_a_refused_action_leads_somewhere(
    browser: Browser, job_in_doubt: int
) -> None:
    refused = await press(browser, job_in_doubt, "pause")

    assert re.search(r'<p class="notice bad" role="alert">', refused)
    leading = [link for link in links(refused) if "status=" in link]
    assert leading
    for link in leading:
        assert link.startswith(f"/jobs/{job_in_doubt}?")
        assert "<h1>" in await browser.get(link)


async def test_a_notice_after_a_successful_action_has_a_quiet_tone(browser: Browser, job_in_doubt: int) -> None:
    action = f"/jobs/{job_in_doubt}/rows/2/resolve#answer-2"
    fields = form_in(await browser.get(f"/jobs/{job_in_doubt}"), action)

    text = await browser.follow(await browser.post(action, {**fields, "found": "absent"}))

    assert 'class="notice info" role="status"' in text
    assert browser.notice(text) == "Row 2: saved. 1 left. Then select Resume."


async def test_a_refused_resolution_is_shown_with_its_reason_in_the_form_of_its_row(
    browser: Browser, job_in_doubt: int
) -> None:
    shown = await browser.get(f"/jobs/{job_in_doubt}")
    action = f"/jobs/{job_in_doubt}/rows/3/resolve#answer-3"
    fields = form_in(shown, action)

    refused = await browser.post(action, {**fields, "found": "registration", "id": ""})

    text = await browser.follow(refused)
    form = text.partition(action)[2].partition("</form>")[0]
    assert "Enter the ID that the LMS shows" in form
    assert text.count("Enter the ID that the LMS shows") == 1
    assert form_in(text, action)["found"] == "registration"
    assert "/rows/2/resolve" not in text
    assert "Enter the ID" not in await browser.get(refused.headers["location"])


async def test_a_resolution_of_a_row_that_is_not_in_doubt_is_refused_above_the_rows(
    browser: Browser, job_in_doubt: int
) -> None:
    fields = form_in(await browser.get(f"/jobs/{job_in_doubt}"), f"/jobs/{job_in_doubt}/rows/3/resolve#answer-3")
    change_records(browser.services.ledger, schema.row, status=RowStatus.REGISTERED)

    refused = await browser.post(f"/jobs/{job_in_doubt}/rows/3/resolve", {**fields, "found": "absent"})

    assert browser.notice(await browser.follow(refused))


async def test_a_scheduled_job_starts_early_only_after_confirmation(browser: Browser) -> None:
    ledger = browser.services.ledger
    with ledger.write() as tx:
        job = a_job(tx, JobState.SCHEDULED, connection="north", not_before=now() + 86_400)

    page = await browser.get(f"/jobs/{job}")
    assert "Resume" not in page
    assert f'href="/jobs/{job}/resume">Start now …' in page
    asked = await browser.get(f"/jobs/{job}/resume")
    assert f"Start job {job} now?" in asked
    assert "is scheduled for" in asked
    assert state_of(ledger, job) is JobState.SCHEDULED

    await browser.post(f"/jobs/{job}/resume", form_in(asked, f"/jobs/{job}/resume"))
    assert state_of(ledger, job) is not JobState.SCHEDULED


async def test_older_jobs_can_be_reached(browser: Browser) -> None:
    with browser.services.ledger.write() as tx:
        made = [a_job(tx, JobState.SUCCEEDED, roster=f"r{number}.csv") for number in range(120)]

    seen, path, pages = [], "/jobs", 0
    while path:
        text = await browser.get(path)
        seen += [int(job) for job in re.findall(r'<a href="/jobs/(\d+)">', text)]
        following = re.search(r'rel="next" href="([^"]*)"', text)
        path = following[1] if following else ""
        pages += 1

    assert seen == sorted(made, reverse=True)
    assert pages == 3
    assert "No older jobs" in await browser.get(f"/jobs?before={made[0]}")
    for nonsense in ("x", "9" * 40, "-1", ""):
        assert "<h1>Jobs</h1>" in await browser.get(f"/jobs?before={nonsense}")


async def test_a_notice_says_when_no_worker_is_online(browser: Browser) -> None:
    assert "No worker is online" in browser.notice(await browser.get("/"))

    with browser.services.ledger.write() as tx:
        key_value.put(tx, LAST_SWEEP, {"at": now()})

    assert browser.notice(await browser.get("/")) == ""


async def test_a_roster_that_does_not_come_is_on_the_page_and_in_the_metrics(browser: Browser) -> None:
    ledger = browser.services.ledger
    with ledger.write() as tx:
        for name in ("schedule:nightly", "folder:gone"):
            known = sources.lock(tx, name, connection="north", place="/srv/hr.csv")
            sources.record_problem(tx, known, SourceProblem.MISSING, "/srv/hr.csv does not exist")
        schedules.add(
            tx,
            name="nightly",
            cron="0 2 * * *",
            zone="Europe/Oslo",
            source="/srv/hr.csv",
            connection="north",
            options={},
            missed="once",
            next_at=now() + 3600,
            report_dir="reports",
            expect_by="07:00",
        )

    page = await browser.get("/schedules")
    metrics = generate_latest(JobMetrics(browser.services)).decode()  # type: ignore[arg-type]

    assert "<b>No roster found</b> since <time" in page
    assert "/srv/hr.csv does not exist. Put the roster there; the next run imports it." in page
    assert "New file expected by 07:00; none has come yet" in page
    assert 'Schedule nightly: no roster found. <a href="/schedules">' in await browser.get("/")
    assert 'roster_source_up{connection="north",source="schedule:nightly"} 0.0' in metrics
    assert 'roster_source_problem{connection="north",problem="missing",source="schedule:nightly"} 1.0' in metrics
    assert "folder:gone" not in metrics, "it is not in roster.toml any more"


async def test_a_schedule_is_removed_only_after_confirmation(browser: Browser) -> None:
    ledger = browser.services.ledger
    with ledger.write() as tx:
        schedules.add(
            tx,
            name="each night",
            cron="0 2 * * *",
            zone="Europe/Oslo",
            source="/srv/intake.csv",
            connection="north",
            options={},
            missed="once",
            next_at=now() + 3600,
            report_dir="reports",
        )
    (address,) = set(re.findall(r'href="(/schedules/[^"]*/remove)"', await browser.get("/schedules")))

    asked = await browser.get(address)
    assert "Remove schedule each night?" in asked
    assert len(records_of(ledger, schema.schedule)) == 1
    removed = await browser.post(address, form_in(asked, address))

    assert removed.headers["location"] == "/schedules"
    assert "was removed" in browser.notice(await browser.follow(removed))
    assert browser.notice(await browser.get("/schedules")) == ""
    assert records_of(ledger, schema.schedule) == []
    assert (await browser.client.get(address)).status_code == 404


@pytest.mark.parametrize(
    ("sent", "status", "state"),
    [("ON", 200, "queued"), ("1", 200, "queued"), ("no", 200, "completed_with_errors"), ("maybe", 422, None)],
)
async def test_the_api_takes_yes_and_no_of_a_form_as_an_upload_does(
    browser: Browser, sent: str, status: int, state: str | None
) -> None:
    ledger = browser.services.ledger
    job_id = a_job_of(ledger, a_row(2), state=JobState.COMPLETED_WITH_ERRORS)
    with ledger.write() as tx:
        batches.close_batches(tx, job_id)
        jobs.change_job(tx, job_id, headings=["email"])
    change_records(ledger, schema.row, status=RowStatus.REJECTED, error="no", error_code="registration_refused")
    headers = {"Authorization": f"Bearer {TOKEN}"}

    answer = await browser.client.post(f"/api/jobs/{job_id}/retry", data={"rejected": sent}, headers=headers)

    assert (answer.status_code, answer.json().get("state")) == (status, state)
