"""A workbook names buttons when it is downloaded from the page, calls for a client of the API."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import openpyxl

from tests.unit.web.conftest import TOKEN
from worker import control, lms
from worker.intake.importing import import_roster
from worker.ledger import jobs

if TYPE_CHECKING:
    from tests.unit.web.conftest import Browser

ROSTER = "email,first name,last name,course_id,behavior,legal_entity_id\na@example.com,Ann,One,58,1,7\n"
ROSTER += "b@example.com,Ben,,58,1,7\n"
#: 12:30 UTC, which is 13:30 in Berlin.
STARTED, ENDED = 1_767_270_600.0, 1_767_274_200.0


async def cancelled_job(browser: Browser) -> None:
    """Open job 1, of which one row is invalid, and cancel it."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    await browser.client.post("/api/jobs", files={"file": ("a.csv", ROSTER.encode())}, headers=headers)
    ledger = browser.services.ledger
    with ledger.write() as tx:
        jobs.claim_job(tx, 1, "a/1/1")
    import_roster(ledger, 1, lms.rules_of(browser.services.connection("north")), owner="a/1/1")
    control.perform(browser.services, control.JobAction.CANCEL, 1)
    with ledger.write() as tx:
        jobs.change_job(tx, 1, started_at=STARTED, finished_at=ENDED)


async def texts_of_workbook(browser: Browser, **options: dict[str, str]) -> str:
    answer = await browser.client.get("/api/jobs/1/results.xlsx", **options)
    assert answer.status_code == 200, answer.text
    book = openpyxl.load_workbook(io.BytesIO(answer.content), read_only=True)
    sheets = [book["Summary"], book["Codes"]]
    return "\n".join(
        str(cell) for sheet in sheets for line in sheet.iter_rows(values_only=True) for cell in line if cell
    )


async def test_a_workbook_of_the_page_names_buttons_and_times_of_the_person(browser: Browser) -> None:
    await cancelled_job(browser)

    browser.client.cookies.set("roster_zone", "Europe/Berlin")

    text = await texts_of_workbook(browser)

    assert "`roster " not in text
    assert "--" not in text
    assert "Select “Retry” to send the remaining rows." in text
    assert "then upload that file" in text
    assert "1 Jan 2026, 13:30 (Europe/Berlin)" in text
    assert "T12:30:00Z" not in text


async def test_a_workbook_of_the_api_names_calls_after_one_of_the_page_was_downloaded(browser: Browser) -> None:
    await cancelled_job(browser)
    assert "1 Jan 2026, 12:30 (UTC)" in await texts_of_workbook(browser)

    text = await texts_of_workbook(browser, headers={"Authorization": f"Bearer {TOKEN}"})

    assert "Call `POST /api/jobs/1/retry` to send the remaining rows." in text
    assert "2026-01-01T12:30:00Z" in text
    assert "roster retry" not in text


async def test_an_unknown_time_zone_is_utc(browser: Browser) -> None:
    await cancelled_job(browser)

    for zone in ("../../etc/passwd", "Nowhere/Land", "x" * 500, "%00"):
        browser.client.cookies.set("roster_zone", zone)
        assert "1 Jan 2026, 12:30 (UTC)" in await texts_of_workbook(browser)
