"""A draft keeps its settings: what was typed is shown again, and updating the preview makes a new one."""

from __future__ import annotations

import html
import os
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests import workbooks
from tests.unit.web.conftest import form_in
from worker import control, lms
from worker.cli import purge as purge_command
from worker.intake.importing import import_roster
from worker.ledger import jobs

if TYPE_CHECKING:
    import httpx

    from tests.unit.web.conftest import Browser

ROSTER = "email,first name,last name,course_id,Team\na@example.com,Ann,One,58,Red\nb@example.com,Ben,Two,58,Blue\n"
VALID = ROSTER.replace("Team", "behavior,legal_entity_id").replace("Red", "1,7").replace("Blue", "1,7")
TOMORROW = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}T09:30"


async def fields_of(browser: Browser, draft: str) -> dict[str, str]:
    return form_in(await browser.get(draft), "draft")


@pytest.mark.parametrize("zone", ["0", "-540"])
async def test_the_start_time_is_kept_when_something_else_is_changed(browser: Browser, zone: str) -> None:
    draft = await browser.upload(ROSTER)
    fields = await fields_of(browser, draft)

    updated = await browser.post(draft, {**fields, "at": TOMORROW, "zone_minutes": zone, "do": "preview"})
    assert updated.status_code == 303
    again = await fields_of(browser, draft)
    assert (again["at"], again["zone_minutes"]) == (TOMORROW, zone)

    changed = await browser.post(draft, {**again, "course": "59", "do": "send"})
    text = await browser.follow(changed)
    assert "Nothing was sent yet" in browser.notice(text)
    shown = form_in(text, "draft")
    assert (shown["at"], shown["zone_minutes"], shown["course"]) == (TOMORROW, zone, "59")

    sent = await browser.post(draft, {**shown, "do": "send"})
    with browser.services.ledger.read() as tx:
        job = jobs.find_job(tx, int(sent.headers["location"].rpartition("/")[2]))
    begins = datetime.fromisoformat(TOMORROW).replace(tzinfo=UTC) + timedelta(minutes=int(zone))
    assert job is not None
    assert job.not_before == begins.timestamp()


async def test_what_was_typed_is_shown_again_when_some_of_it_is_wrong(browser: Browser) -> None:
    draft = await browser.upload(ROSTER)
    fields = await fields_of(browser, draft)
    typed = {
        **fields,
        "column-4": "city",
        "course": "name:Fire Safety",
        "at": TOMORROW,
        "strict": "on",
        "set-column-0": "country",
        "set-value-0": "Norway",
        "start_row": "two",
        "max_rows": "7",
    }

    refused = await browser.post(draft, {**typed, "do": "send"})

    assert refused.status_code == 422
    assert "Start at row" in browser.notice(refused.text)
    assert form_in(refused.text, "draft") == typed
    assert "start_row" in typed
    assert (await fields_of(browser, draft)) == fields


async def test_all_errors_are_named_at_once_at_their_fields_and_in_a_summary_with_links(browser: Browser) -> None:
    draft = await browser.upload(ROSTER)
    fields = await fields_of(browser, draft)
    wrong = {"start_row": "two", "max_rows": "0", "at": "never", "set-value-1": "Norway"}

    refused = await browser.post(draft, {**fields, **wrong, "do": "send"})

    assert refused.status_code == 422
    summary = browser.notice(refused.text)
    assert "Fix 4 fields" in summary
    for field in ("start_row", "max_rows", "at", "set-column-1"):
        assert f'href="#{field}"' in summary
        assert f'id="{field}"' in refused.text
        assert f'id="{field}-error"' in refused.text
    assert refused.text.count('aria-invalid="true"') == 4


async def test_an_error_of_the_default_course_is_at_its_field(browser: Browser) -> None:
    draft = await browser.upload(ROSTER)
    fields = await fields_of(browser, draft)

    await browser.post(draft, {**fields, "course": "name:Fire Safety", "do": "preview"})

    text = await browser.get(draft)
    assert 'href="#course"' in browser.notice(text)
    assert 'id="course-error"' in text


async def test_unfinished_drafts_are_listed_until_they_are_sent_or_discarded(browser: Browser) -> None:
    first, second = await browser.upload(ROSTER, "one.csv"), await browser.upload(ROSTER, "two.csv")
    page = await browser.get("/")
    assert page.index(f'href="{second}">two.csv') < page.index(f'href="{first}">one.csv')

    asked = await browser.get(f"{first}/discard")
    assert "Discard one.csv?" in asked
    assert first in await browser.get("/")
    gone = await browser.post(f"{first}/discard", form_in(asked, f"{first}/discard"))
    assert browser.notice(await browser.follow(gone)) == "Discarded. Nothing was sent."
    await browser.post(second, {**await fields_of(browser, second), "do": "send"})

    assert "Unfinished drafts" not in await browser.get("/")


async def test_a_scheduled_job_shows_what_its_review_showed(browser: Browser) -> None:
    draft = await browser.upload(ROSTER)
    fields = await fields_of(browser, draft)

    sent = await browser.post(draft, {**fields, "at": TOMORROW, "do": "send"})

    page = await browser.get(sent.headers["location"])
    assert "Scheduled" in page
    assert "<dt>Rows</dt><dd>2, 0 ready to send</dd>" in page
    assert re.search(r"<dt>Calls to the LMS</dt><dd>\d", page)
    assert "<dt>Estimated time</dt><dd>not known yet</dd>" in page
    assert "0 of 0" not in page
    assert "People created" not in page


async def test_the_row_of_the_headings_is_chosen_on_the_page(browser: Browser) -> None:
    draft = await browser.upload("email,Read this,first\nWho,Fore,Last\na@x.example,Ana,One\n")
    fields = await fields_of(browser, draft)

    await browser.post(draft, {**fields, "column-0": "city", "heading_row": "2", "do": "preview"})
    page = await browser.get(draft)

    assert ("Who" in page, "Read this" in page) == (True, False)
    assert form_in(page, "draft")["heading_row"] == "2"


async def test_a_roster_that_cannot_be_sent_keeps_its_start_time_too(browser: Browser) -> None:
    draft = await browser.upload(f"{ROSTER}nobody,Cem,Three,58,Red\n")
    await browser.post(draft, {**await fields_of(browser, draft), "strict": "on", "do": "preview"})

    refused = await browser.post(draft, {**await fields_of(browser, draft), "at": TOMORROW, "do": "send"})

    assert refused.status_code == 422
    assert form_in(refused.text, "draft")["at"] == TOMORROW


async def test_update_preview_makes_a_new_preview_even_when_nothing_was_changed(browser: Browser) -> None:
    draft = await browser.upload(ROSTER)
    fields = await fields_of(browser, draft)
    (preview,) = (browser.services.files / "drafts").glob("*/preview.json")
    before = preview.read_bytes()
    assert await fields_of(browser, draft) == fields
    assert preview.read_bytes() == before

    await browser.post(draft, {**fields, "do": "preview"})

    assert not preview.exists()
    assert await fields_of(browser, draft) == fields
    assert preview.read_bytes() != before


def make_old(browser: Browser, hours: float) -> None:
    for each in (browser.services.files / "drafts").iterdir():
        then = each.stat().st_mtime - hours * 3600
        os.utime(each, (then, then))


#: What `roster purge` does without options.
DEFAULTS = {"held": False, "compact": False, "dry_run": False, "yes": False, "as_json": False}


async def test_a_purge_removes_the_drafts_that_were_not_sent_for_a_day(browser: Browser, capsys: Any) -> None:
    draft = await browser.upload(ROSTER)
    await browser.get(draft)

    purge_command.purge_jobs(browser.services, "90d", **DEFAULTS)
    assert "0 jobs purged. " in capsys.readouterr().out
    await browser.get(draft)

    make_old(browser, 25)
    purge_command.purge_jobs(browser.services, "90d", **DEFAULTS)
    assert "0 jobs purged, 1 unsent upload" in capsys.readouterr().out
    assert not list((browser.services.files / "drafts").iterdir())
    assert (await browser.client.get(draft)).status_code == 404


async def test_hidden_rows_are_a_question_of_the_page(browser: Browser) -> None:
    draft = await browser.upload(workbooks.ods(), "roster.ods")
    page = await browser.get(draft)
    assert "1 row is hidden in the spreadsheet" in page
    assert "--hidden-rows" not in page

    await browser.post(draft, {**form_in(page, "draft"), "hidden_rows": "skip", "do": "preview"})
    page = await browser.get(draft)
    assert form_in(page, "draft")["hidden_rows"] == "skip"
    assert "Row 4: The row is hidden in the spreadsheet" in page


async def send(browser: Browser, draft: str, **changed: str) -> httpx.Response:
    fields = await fields_of(browser, draft)
    return await browser.post(draft, {**fields, **changed, "do": "send"})


async def test_a_draft_of_a_file_that_is_a_job_already_names_the_job_and_when_it_starts(browser: Browser) -> None:
    await send(browser, await browser.upload(VALID), at=TOMORROW, zone_minutes="0")

    draft = await browser.upload(VALID)

    text = await browser.get(draft)
    stamp = f"{TOMORROW}:00Z"
    assert re.search(
        rf'already <a href="/jobs/1">job 1</a> \(scheduled for <time datetime="{stamp}">[^<]*</time>\)', text
    )
    assert "ready to send" not in text
    assert ">Open job 1</button>" in text
    sent = await send(browser, draft)
    assert sent.headers["location"] == "/jobs/1"
    notice = browser.notice(await browser.follow(sent))
    assert "This file is already job 1 (scheduled for " in notice
    assert "Nothing was sent twice" in notice


async def test_a_draft_of_a_file_whose_job_has_ended_says_so_and_can_be_sent(browser: Browser) -> None:
    await send(browser, await browser.upload(VALID))
    control.perform(browser.services, control.JobAction.CANCEL, 1)

    draft = await browser.upload(VALID)

    text = await browser.get(draft)
    assert 'uploaded before, as <a href="/jobs/1">job 1</a> (cancelled), ' in text
    assert "<b>2</b> ready to send" in text
    assert (await send(browser, draft)).headers["location"] == "/jobs/2"


async def test_rows_that_another_open_job_is_to_send_too_are_counted_when_that_job_was_read(
    browser: Browser,
) -> None:
    other = await browser.upload(VALID + "c@example.com,Cem,Three,58,1,7\n")
    assert "of these rows" not in await browser.get(other)
    await send(browser, await browser.upload(VALID))
    with browser.services.ledger.write() as tx:
        jobs.claim_job(tx, 1, "a/1/1")
    import_roster(browser.services.ledger, 1, lms.rules_of(browser.services.connection("north")), owner="a/1/1")

    text = await browser.get(other)

    assert "2 of these rows are also in job 1, which has not ended; the job that comes first sends them" in text


async def test_the_list_of_duplicates_names_the_person_and_the_cells_that_differ(browser: Browser) -> None:
    again = VALID.replace("first name,last name", "first name,Surname") + "b@example.com,Ben,Other,58,1,7\n"
    draft = await browser.upload(again + "a@example.com,Ann,One,58,1,7\n")

    text = html.unescape(await browser.get(draft))

    assert 'Duplicate of row 3 (same person and course): Ben Other, b@example.com. Surname is "Other" here' in text
    assert 'and "Two" there' in text
    assert "Duplicate of row 2 (same person and course): Ann One, a@example.com<" in text


async def test_of_many_columns_the_imported_ones_are_shown_and_the_others_are_counted(browser: Browser) -> None:
    others = [f"Note {number}" for number in range(400)]
    blank = ",x" * len(others)
    draft = await browser.upload(
        f"email,first name,{','.join(others)},last name,course_id\na@example.com,Ann{blank},One,58\n"
    )

    page = await browser.get(draft)
    fields = form_in(page, "draft")

    assert "204 more columns are not shown" in page
    shown = {name: column for name, column in fields.items() if re.fullmatch(r"column-\d+", name)}
    assert len(shown) == 200
    assert (shown["column-1"], shown["column-402"], shown["column-403"]) == ("first_name", "last_name", "course_id")
    assert "column-399" not in shown
    # A column far to the right is matched otherwise, and one that is not shown stays as it is.
    updated = await browser.post(draft, {**fields, "column-402": "city", "do": "preview"})
    again = await fields_of(browser, draft)
    assert updated.status_code == 303
    assert (again["column-402"], again["column-403"]) == ("city", "course_id")
