"""A job's page when an act is refused or asked back about, and the list of jobs and schedules."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.builders import a_job, a_job_of, a_row, change_records, records_of, state_of
from tests.unit.web.conftest import form_in
from worker.ledger import batches, key_value, schedules, schema
from worker.ledger.database import now
from worker.ledger.queue import LAST_SWEEP
from worker.model import JobState, RegistrationState, RowStatus

if TYPE_CHECKING:
    from tests.unit.web.conftest import Browser


async def press(browser: Browser, job: int, act: str) -> str:
    token = form_in(await browser.get("/"), "drop")["csrf"]
    return (await browser.post(f"/jobs/{job}/{act}", {"csrf": token})).text


@pytest.fixture
def doubt(browser: Browser) -> int:
    """Leave a job with two rows, the registration of each in doubt."""
    ledger = browser.services.ledger
    job_id = a_job_of(ledger, a_row(2), a_row(3), state=JobState.COMPLETED_WITH_ERRORS)
    with ledger.write() as tx:
        batches.close_batches(tx, job_id)
    change_records(ledger, schema.row, status=RowStatus.IN_DOUBT, error="lost", error_code="answer_lost")
    change_records(ledger, schema.registration, state=RegistrationState.IN_DOUBT, job_id=job_id, sent_at=now())
    return job_id


def links(text: str) -> list[str]:
    """Return where a page's content leads."""
    return re.findall(r'(?:href|url)="?=?([^"]*)"', text.partition("<main")[2])


async def test_from_the_page_of_a_refused_act_every_link_leads_somewhere(browser: Browser, doubt: int) -> None:
    refused = await press(browser, doubt, "pause")

    assert re.search(r'<p class="told bad" role="alert">', refused)
    leading = [link for link in links(refused) if "status=" in link]
    assert leading
    for link in leading:
        assert link.startswith(f"/jobs/{doubt}?")
        assert "<h1>" in await browser.get(link)


async def test_a_job_that_is_refused_nothing_tells_it_in_a_quiet_tone(browser: Browser, doubt: int) -> None:
    told = await browser.get(f"/jobs/{doubt}?told=resolve")

    assert 'class="told info" role="status"' in told


async def test_an_answer_that_is_refused_stands_with_its_reason_in_the_form_of_its_row(
    browser: Browser, doubt: int
) -> None:
    shown = await browser.get(f"/jobs/{doubt}")
    action = f"/jobs/{doubt}/rows/3/resolve#answer-3"
    fields = form_in(shown, action)

    refused = await browser.post(action, {**fields, "found": "registration", "id": ""})

    assert refused.status_code == 409
    form = refused.text.partition(action)[2].partition("</form>")[0]
    assert "Write the id that the LMS shows for it" in form
    assert refused.text.count("Write the id that the LMS shows for it") == 1
    assert form_in(refused.text, action)["found"] == "registration"
    assert "/rows/2/resolve" not in refused.text


async def test_an_answer_for_a_row_without_doubt_is_refused_above_the_rows(browser: Browser, doubt: int) -> None:
    fields = form_in(await browser.get(f"/jobs/{doubt}"), f"/jobs/{doubt}/rows/3/resolve#answer-3")
    change_records(browser.services.ledger, schema.row, status=RowStatus.REGISTERED)

    refused = await browser.post(f"/jobs/{doubt}/rows/3/resolve", {**fields, "found": "absent"})

    assert refused.status_code == 409
    assert browser.said(refused.text)


async def test_a_planned_job_begins_early_only_after_asking_back(browser: Browser) -> None:
    ledger = browser.services.ledger
    with ledger.write() as tx:
        job = a_job(tx, JobState.SCHEDULED, connection="north", not_before=now() + 86_400)

    page = await browser.get(f"/jobs/{job}")
    assert "Go on" not in page
    assert f'href="/jobs/{job}/resume">Begin now …' in page
    asked = await browser.get(f"/jobs/{job}/resume")
    assert f"Begin job {job} now?" in asked
    assert "is planned for" in asked
    assert state_of(ledger, job) is JobState.SCHEDULED

    await browser.post(f"/jobs/{job}/resume", form_in(asked, f"/jobs/{job}/resume"))
    assert state_of(ledger, job) is not JobState.SCHEDULED


async def test_older_jobs_can_be_come_to(browser: Browser) -> None:
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


async def test_it_is_said_when_nobody_works_behind_the_page(browser: Browser) -> None:
    assert "has not shown itself lately" in browser.said(await browser.get("/"))

    with browser.services.ledger.write() as tx:
        key_value.put(tx, LAST_SWEEP, {"at": now()})

    assert browser.said(await browser.get("/")) == ""


async def test_a_schedule_is_removed_only_after_asking_back(browser: Browser) -> None:
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

    assert removed.headers["location"] == "/schedules?told=removed"
    assert records_of(ledger, schema.schedule) == []
    assert (await browser.client.get(address)).status_code == 404
