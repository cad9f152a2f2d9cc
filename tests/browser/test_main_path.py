"""The main path of a training administrator: upload, review, match columns, send, follow, download."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect


def unmapped(people: Callable[..., list[dict[str, Any]]], count: int) -> list[dict[str, Any]]:
    """Make up people whose e-mail addresses are in a column with an unknown heading."""
    return [
        {"Contact": each["email"], "First name": each["first_name"], "Last name": each["last_name"], "Course": "58"}
        for each in people(count)
    ]


def see_the_end(page: Page, state: str = "Completed") -> None:
    expect(page.locator("[data-moving=no]")).to_be_visible(timeout=45_000)
    expect(page.locator("#state")).to_contain_text(state)


def report_of(page: Page, link: str, folder: Path) -> Path:
    with page.expect_download() as downloading:
        page.get_by_role("link", name=link, exact=True).click()
    path = folder / downloading.value.suggested_filename
    downloading.value.save_as(path)
    return path


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_roster_is_uploaded_matched_sent_and_followed_and_its_report_is_right(
    open_site: Callable[..., Any], people: Callable[..., Any], read_csv: Callable[..., Any], *, scripts: bool
) -> None:
    site = open_site()
    file = site.office.roster("intake.csv", unmapped(people, 30))
    page = site.open(java_script_enabled=scripts)

    page.get_by_label("Drag your spreadsheet here").set_input_files(file)
    if not scripts:
        page.get_by_role("button", name="Check the file").click()
    page.wait_for_url("**/drafts/*")
    expect(page.get_by_role("heading", name="intake.csv")).to_be_visible()
    expect(page.locator("#problem")).to_contain_text("This file needs attention")
    expect(page.locator("#send")).to_have_count(0)

    page.get_by_label("Contact", exact=True).select_option(label="E-mail address")
    page.get_by_label("Course", exact=True).select_option(label="LMS course ID")
    page.get_by_role("button", name="Update preview").click()
    expect(page.locator("#summary + .counts")).to_contain_text("30 ready to send")
    expect(page.get_by_text("30 new people")).to_be_visible()
    assert site.lms.changes == {}

    page.get_by_role("button", name="Register 30 people in north").click()
    page.wait_for_url("**/jobs/*")
    if scripts:
        see_the_end(page)
    else:
        site.lms.until(lambda lms: len(lms.standing) == 30)
        for _ in range(30):
            page.reload()
            if page.locator("[data-moving=no]").count():
                break
            page.wait_for_timeout(200)
        expect(page.locator("#state")).to_contain_text("Completed")
    expect(page.locator("#progress")).to_contain_text("30 of 30 processed")

    rows = read_csv(report_of(page, "Report (CSV)", site.office.folder))
    assert [row["_status"] for row in rows] == ["registered"] * 30
    assert [row["Contact"] for row in rows] == [row["Contact"] for row in unmapped(people, 30)]
    assert len(site.lms.standing) == 30


def test_the_main_path_works_with_the_keyboard_only(
    open_site: Callable[..., Any], people: Callable[..., Any]
) -> None:
    site = open_site()
    file = site.office.roster("keys.csv", people(3))
    page = site.open()

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    with page.expect_file_chooser() as choosing:
        press_until(page, "file")
        page.keyboard.press("Enter")
    choosing.value.set_files(file)
    page.wait_for_url("**/drafts/*")

    press_until(page, "send")
    page.keyboard.press("Enter")
    page.wait_for_url("**/jobs/*")
    see_the_end(page)
    press_until(page, "get-csv")
    with page.expect_download() as downloading:
        page.keyboard.press("Enter")
    assert downloading.value.suggested_filename == "keys.results.csv"


def press_until(page: Page, wanted: str) -> None:
    """Press Tab until the element with that id has the focus; the focus must be visible at every step."""
    for _ in range(80):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "() => { const at = document.activeElement, look = getComputedStyle(at);"
            " return [at.id, look.outlineStyle !== 'none' && parseFloat(look.outlineWidth) > 0]; }"
        )
        assert focused[1], f"the focus of {focused[0] or 'an element'} is not visible"
        if focused[0] == wanted:
            return
    pytest.fail(f"Tab never reached {wanted}")


def test_known_people_duplicates_and_the_estimated_time_are_shown_before_anything_is_sent(
    open_site: Callable[..., Any], people: Callable[..., Any], upload: Callable[..., Page]
) -> None:
    site = open_site(connection={"rate": "50/second"})
    page = upload(site, site.office.people("first.csv", 4))
    page.locator("#send").click()
    page.wait_for_url("**/jobs/*")
    see_the_end(page)
    changes = site.lms.changes

    doubles = [*people(6), people(1)[0], {**people(1)[0], "email": "nobody"}]
    page = upload(site, site.office.roster("second.csv", doubles))

    counts = page.locator("#summary + .counts")
    expect(counts).to_contain_text("2 ready to send")
    expect(counts).to_contain_text("4 ✓ already registered")
    expect(counts).to_contain_text("1 = skipped")
    expect(counts).to_contain_text("1 ! with errors")
    expect(page.get_by_text("not sent again: rows 2, 3, 4, 5.")).to_be_visible()
    expect(page.get_by_text("at 50 calls per second")).to_be_visible()
    expect(page.locator("#errors")).to_contain_text(re.compile(r"9\s*email"))
    expect(page.locator("#skipped")).to_contain_text("Row 8")
    assert site.lms.changes == changes


def test_a_job_can_start_later_at_a_time_in_the_zone_of_the_browser(
    open_site: Callable[..., Any], upload: Callable[..., Page]
) -> None:
    site = open_site()
    page = upload(site, site.office.people("later.csv", 2), timezone_id="Asia/Tokyo")
    expect(page.get_by_text("in your time zone (Asia/Tokyo)")).to_be_visible()

    # Tomorrow, by the clock of Tokyo.
    wanted = page.evaluate(
        "() => { const at = new Date(Date.now() + 864e5); at.setHours(9, 30, 0, 0);"
        " const two = (n) => String(n).padStart(2, '0');"
        " return [`${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}T09:30`, at.toISOString()]; }"
    )
    page.get_by_label("Start (leave empty").fill(wanted[0])
    page.locator("#send").click()
    page.wait_for_url("**/jobs/*")

    expect(page.locator("#state")).to_contain_text("Scheduled")
    begins = page.locator("#progress time").nth(1)
    assert begins.get_attribute("datetime") == wanted[1].replace(".000Z", "Z")
    assert site.lms.changes == {}
