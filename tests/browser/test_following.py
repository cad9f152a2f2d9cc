"""Pages never show old news as new: they follow what happens elsewhere, and say when they cannot."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Page, Route, expect

from tests.browser.test_sign_in import sign_in
from tests.web_server import add_user

#: How long another tab of the browser may take to agree (milliseconds); machines of tests are slow.
AGREE = 10_000
SLOW = {"rate": "8/second", "batch_size": 10}


def running_job(site: Any, upload: Callable[..., Page], rows: list[dict[str, Any]], **options: Any) -> Page:
    page = upload(site, site.office.roster("followed.csv", rows), **options)
    page.locator("#send").click()
    page.wait_for_url("**/jobs/*")
    expect(page.locator("#state")).to_contain_text("Running")
    return page


def test_tabs_agree_after_an_action_in_one_of_them(
    open_site: Callable[..., Any], upload: Callable[..., Page], people: Callable[..., Any]
) -> None:
    site = open_site(connection=SLOW)
    first = running_job(site, upload, people(300))
    lists = [site.page_in(first.context, path) for path in ("/", "/jobs")]
    second = site.page_in(first.context, "/jobs/1")

    for button, state in (("Pause", "Paused"), ("Resume", "Running"), ("Pause", "Paused")):
        second.get_by_role("button", name=button).click()
        for page in (second, first, *lists):
            expect(page.locator("#state, #list").first).to_contain_text(state, timeout=AGREE)


def test_every_page_in_another_browser_agrees_after_two_seconds(
    open_site: Callable[..., Any], upload: Callable[..., Page], people: Callable[..., Any]
) -> None:
    site = open_site(bad_days=["create_candidate:hold"])
    site.office.people("daily.csv", 1)
    site.office.type("schedule", "add", "nightly", "daily.csv", "--cron", "0 2 * * *")
    mine = running_job(site, upload, people(2))
    drafts = [upload(site, site.office.people(f"{name}.csv", 3)) for name in ("changed", "discarded")]
    theirs = site.open("/codes", own=True).context
    # A stream would say at once what happens to a job; it is not needed.
    theirs.route("**/events", lambda route: route.abort())
    shown = {
        "/": ("#list", "Paused"),
        "/jobs": ("#list", "Paused"),
        "/jobs/1": ("#state", "Paused"),
        "/schedules": ("#list", "Paused since"),
        "/connections": ("#list", "0 running"),
        urlsplit(drafts[0].url).path: ("#main", "1 ready to send"),
        urlsplit(drafts[1].url).path: ("#main", "This draft was sent or discarded elsewhere"),
    }
    theirs.clock.install()
    pages = {path: site.page_in(theirs, path) for path in shown}
    theirs.clock.pause_at(datetime.now(UTC) + timedelta(seconds=1))

    mine.get_by_role("button", name="Pause").click()
    expect(mine.locator("#state")).to_contain_text("Paused")
    mine.goto(site.url + "/schedules")
    mine.get_by_role("button", name="Pause nightly").click()
    expect(mine.get_by_role("status")).to_have_text(
        "The schedule nightly is paused. It opens no jobs until it is resumed."
    )
    drafts[0].get_by_text("More options").click()
    drafts[0].get_by_label("Maximum number of rows").fill("1")
    drafts[0].get_by_role("button", name="Update preview").click()
    expect(drafts[0].locator("#main")).to_contain_text("1 ready to send")
    drafts[1].get_by_role("link", name="Discard").click()
    drafts[1].get_by_role("button", name="Discard").click()
    drafts[1].wait_for_url(site.url + "/")

    for path, page in pages.items():
        expect(page.locator(shown[path][0])).not_to_contain_text(shown[path][1])
    theirs.clock.run_for(2_000)
    for path, page in pages.items():
        expect(page.locator(shown[path][0])).to_contain_text(shown[path][1])
    site.lms.rules()
    site.ignore_errors("ERR_FAILED")


def test_a_schedule_is_paused_resumed_and_run_from_its_page(open_site: Callable[..., Any]) -> None:
    site = open_site()
    site.office.people("daily.csv", 2)
    site.office.type("schedule", "add", "nightly", "daily.csv", "--cron", "0 2 * * *")
    page = site.open("/schedules")

    page.get_by_role("button", name="Pause nightly").click()
    page.get_by_role("button", name="Resume nightly").click()
    expect(page.get_by_role("status")).to_contain_text("is resumed. Runs that it missed are not caught up.")
    page.get_by_role("link", name="Run now nightly").click()
    expect(page.locator("#main")).to_contain_text("daily.csv are registered in north")
    assert site.office.jobs() == []
    page.get_by_role("button", name="Run now").click()

    page.wait_for_url("**/jobs/1")
    expect(page.locator("#state")).to_contain_text("Completed")
    audit = site.office.type("audit", "--json").json
    assert [(each["act"], each["job"]) for each in reversed(audit) if each["act"].startswith("schedule ")] == [
        ("schedule add", None),
        ("schedule pause", None),
        ("schedule resume", None),
        ("schedule run", 1),
    ]
    (site.office.folder / "daily.csv").unlink()
    page.goto(site.url + "/schedules/nightly/run")
    page.get_by_role("button", name="Run now").click()
    expect(page.get_by_role("alert")).to_contain_text("nightly: ")


def test_a_paused_job_that_somebody_else_resumes_is_followed(
    open_site: Callable[..., Any], upload: Callable[..., Page], people: Callable[..., Any]
) -> None:
    site = open_site(connection=SLOW)
    page = running_job(site, upload, people(20))
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#state")).to_contain_text("Paused")

    other = site.open("/jobs/1")
    other.get_by_role("button", name="Resume").click()

    expect(page.locator("#state")).to_contain_text("Completed", timeout=45_000)


def test_a_new_job_appears_in_lists_that_were_at_rest(
    open_site: Callable[..., Any], upload: Callable[..., Page], people: Callable[..., Any]
) -> None:
    site = open_site()
    pages = [site.open(path) for path in ("/", "/jobs")]
    for page in pages:
        expect(page.locator("#list")).to_contain_text("No jobs yet")

    elsewhere = upload(site, site.office.roster("new.csv", people(2)))
    elsewhere.locator("#send").click()

    for page in pages:
        expect(page.locator("#list")).to_contain_text("new.csv")
        expect(page.locator("#list")).to_contain_text("2 of 2")


def test_rows_and_the_numbers_of_the_filter_renew_while_the_job_runs(
    open_site: Callable[..., Any], upload: Callable[..., Page], people: Callable[..., Any]
) -> None:
    site = open_site(connection=SLOW)
    page = running_job(site, upload, people(300))
    page.get_by_label("Row number").fill("7")

    expect(page.locator("#row-table")).to_contain_text("Registered")
    expect(page.locator("select[name=status]")).to_contain_text(re.compile(r"\bRegistered \([1-9]\d*\)"))
    expect(page.locator("#state")).to_contain_text("Running")
    expect(page.get_by_label("Row number")).to_have_value("7")


def test_a_page_without_an_answer_says_since_when_and_recovers(
    open_site: Callable[..., Any], upload: Callable[..., Page], people: Callable[..., Any]
) -> None:
    site = open_site(connection=SLOW)
    page = running_job(site, upload, people(300), own=True)
    away = lambda route: route.abort()  # noqa: E731

    page.clock.install()
    page.goto(site.url + "/jobs/1")
    expect(page.locator("#state")).to_contain_text("Running")
    page.route("**/jobs/1*", away)
    with page.expect_event("requestfailed"):
        # An answer that was on its way when the others were lost would make the page up to date again.
        page.clock.run_for(5_000)
    for _ in range(12):
        page.clock.run_for(1_000)
    banner = page.get_by_role("alert")
    expect(banner).to_contain_text(re.compile(r"Not up to date since \d+:\d\d:\d\d.*Trying again"))
    assert float(page.evaluate("getComputedStyle(document.getElementById('progress')).opacity")) < 1
    page.get_by_role("button", name="Pause").click()
    assert page.url.endswith("/jobs/1")

    page.unroute("**/jobs/1*", away)
    for _ in range(6):
        page.clock.run_for(1_000)
    expect(banner).to_be_hidden()
    site.ignore_errors("ERR_FAILED", "Failed to fetch")


def test_lists_without_an_answer_say_so_too(open_site: Callable[..., Any]) -> None:
    site = open_site()
    page = site.open("/jobs", own=True)
    page.clock.install()
    page.goto(site.url + "/jobs")
    expect(page.locator("#list")).to_be_visible()

    def broken(route: Route) -> None:
        route.fulfill(status=503, body="")

    page.route("**/jobs", broken)
    with page.expect_event("response", lambda response: response.status == 503):
        page.clock.run_for(5_000)
    for _ in range(14):
        page.clock.run_for(1_000)

    expect(page.get_by_role("alert")).to_contain_text("Not up to date since")
    site.ignore_errors("503")


def test_a_session_that_ended_is_said_and_signing_in_leads_back_to_the_same_place(
    open_site: Callable[..., Any], upload: Callable[..., Page], people: Callable[..., Any]
) -> None:
    site = open_site(connection=SLOW)
    running_job(site, upload, people(300))
    add_user(site.office, "ana", "operator")
    page = site.open("/jobs/1?status=not_attempted")
    sign_in(page, "ana")
    page.wait_for_url("**/jobs/1?status=not_attempted")

    assert site.office.type("user", "sign-out", "ana").code == 0
    banner = page.get_by_role("alert")
    expect(banner).to_contain_text("You were signed out. Sign in to go on")
    banner.get_by_role("link").click()
    expect(page.get_by_text("You were signed out. Sign in to go on.")).to_be_visible()
    sign_in(page, "ana")
    page.wait_for_url("**/jobs/1?status=not_attempted")
    site.ignore_errors("401")


def test_a_draft_that_met_the_end_of_a_session_is_there_after_signing_in(
    open_site: Callable[..., Any], people: Callable[..., Any]
) -> None:
    site = open_site()
    add_user(site.office, "ana", "operator")
    page = site.open("/")
    sign_in(page, "ana")
    page.get_by_label("Drag your spreadsheet here").set_input_files(site.office.roster("mine.csv", people(3)))
    page.wait_for_url("**/drafts/*")
    draft = page.url
    page.get_by_label("Default course").fill("77")
    assert site.office.type("user", "sign-out", "ana").code == 0

    page.get_by_role("button", name="Update preview").click()
    expect(page.get_by_text("You were signed out. Sign in to go on.")).to_be_visible()
    sign_in(page, "ana")

    page.wait_for_url(draft)
    expect(page.get_by_label("Default course")).to_have_value("77")
    assert site.lms.changes == {}
