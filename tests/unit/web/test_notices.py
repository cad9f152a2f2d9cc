"""Messages after an action: shown once, for the browser that acted, on the page they are for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.builders import a_job
from tests.unit.web.conftest import TOKEN, form_in
from worker.model import JobState
from worker.web.notices import COOKIE, FOLLOW_HEADER

if TYPE_CHECKING:
    from tests.unit.web.conftest import Browser

ROSTER = "email,first name,last name,course id\na@example.com,A,One,58\n"


async def paused_job(browser: Browser) -> str:
    """Pause a job and return the address that the form leads to."""
    with browser.services.ledger.write() as tx:
        job = a_job(tx, JobState.QUEUED, connection="north")
    fields = form_in(await browser.get(f"/jobs/{job}"), f"/jobs/{job}/pause")
    answer = await browser.post(f"/jobs/{job}/pause", fields)
    assert answer.status_code == 303
    return str(answer.headers["location"])


async def test_a_message_is_shown_once_and_is_not_in_the_address(browser: Browser) -> None:
    address = await paused_job(browser)

    assert "?" not in address
    assert browser.notice(await browser.get(address)).startswith("Paused.")
    assert browser.notice(await browser.get(address)) == ""


async def test_a_link_with_the_name_of_a_message_shows_none(browser: Browser) -> None:
    address = await paused_job(browser)
    await browser.get(address)

    for query in ("notice=pause", "said=undo", "notice=undo"):
        assert browser.notice(await browser.get(f"{address}?{query}")) == ""


async def test_other_pages_and_the_script_of_another_tab_leave_a_message_alone(browser: Browser) -> None:
    address = await paused_job(browser)

    assert "Paused. Calls" not in await browser.get("/jobs")
    followed = await browser.client.get(address, headers={FOLLOW_HEADER: "yes"})
    assert "Paused. Calls" not in followed.text
    assert browser.notice(await browser.get(address)).startswith("Paused.")


async def test_a_message_that_was_changed_or_is_of_another_browser_is_not_shown(browser: Browser) -> None:
    address = await paused_job(browser)
    content, _, signature = browser.client.cookies[COOKIE].partition(".")

    for forged in (f"{content}.{signature[::-1]}", f"{content[:-4]}AAAA.{signature}", content, "x.y", "."):
        browser.client.cookies.set(COOKIE, forged, domain="127.0.0.1", path="/")
        assert browser.notice(await browser.get(address)) == ""
    browser.client.cookies.clear()
    await browser.client.get(f"/?token={TOKEN}")
    browser.client.cookies.set(COOKIE, f"{content}.{signature}")
    assert browser.notice(await browser.get(address)) == ""


async def test_a_changed_draft_that_was_sent_is_shown_at_its_own_address_so_that_reload_sends_nothing(
    browser: Browser,
) -> None:
    address = await browser.upload(ROSTER)
    fields = form_in(await browser.get(address), "draft")

    answer = await browser.post(address, {**fields, "course": "59", "do": "send"})

    assert (answer.status_code, answer.headers["location"]) == (303, address)
    shown = await browser.get(address)
    assert "Nothing was sent yet" in browser.notice(shown)
    assert browser.notice(await browser.get(address)) == ""
    sent = await browser.post(address, {**form_in(shown, "draft"), "do": "send"})
    assert sent.headers["location"].startswith("/jobs/")


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("/connections/north/check", "/connections"),
        ("/drafts", "/"),
        ("/jobs/7/rows/2/resolve", "/jobs/7"),
        ("/account/password", "/account"),
        ("/sign-out", "/"),
    ],
)
async def test_the_address_of_a_button_opened_as_a_page_leads_to_the_page_with_the_button(
    browser: Browser, path: str, page: str
) -> None:
    answer = await browser.client.get(path)

    assert (answer.status_code, answer.headers["location"]) == (303, page)


async def test_a_connection_that_was_checked_says_so_once(browser: Browser) -> None:
    fields = form_in(await browser.get("/connections"), "/connections/north/check")

    answer = await browser.post("/connections/north/check", fields)

    assert answer.headers["location"] == "/connections"
    assert "north" in browser.notice(await browser.get("/connections"))
    assert browser.notice(await browser.get("/connections")) == ""
