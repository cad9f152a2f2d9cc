"""The main path as a training administrator walks it: drop, look, map, go, watch, download."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect


def unmapped(people: Callable[..., list[dict[str, Any]]], count: int) -> list[dict[str, Any]]:
    """Make up people whose e-mail addresses stand under a heading that nobody knows."""
    return [
        {"Contact": each["email"], "First name": each["first_name"], "Last name": each["last_name"], "Course": "58"}
        for each in people(count)
    ]


def see_the_end(page: Page, state: str = "Done") -> None:
    expect(page.locator("[data-moves=no]")).to_be_visible(timeout=45_000)
    expect(page.locator("#stands")).to_contain_text(state)


def report_of(page: Page, link: str, folder: Path) -> Path:
    with page.expect_download() as downloading:
        page.get_by_role("link", name=link, exact=True).click()
    path = folder / downloading.value.suggested_filename
    downloading.value.save_as(path)
    return path


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_roster_is_dropped_mapped_sent_watched_and_its_report_is_right(
    desk: Callable[..., Any], people: Callable[..., Any], read_csv: Callable[..., Any], *, scripts: bool
) -> None:
    here = desk()
    file = here.office.roster("intake.csv", unmapped(people, 30))
    page = here.open(java_script_enabled=scripts)

    page.get_by_label("Drop your spreadsheet here").set_input_files(file)
    if not scripts:
        page.get_by_role("button", name="See what is in it").click()
    page.wait_for_url("**/drafts/*")
    expect(page.get_by_role("heading", name="intake.csv")).to_be_visible()
    expect(page.locator("#wrong")).to_contain_text("Cannot be read yet")
    expect(page.get_by_role("button", name="Send")).to_have_count(0)

    page.get_by_label("Contact", exact=True).select_option(label="E-mail address")
    page.get_by_label("Course", exact=True).select_option(label="Id of the course")
    page.get_by_role("button", name="Look again").click()
    expect(page.locator("#comes-to + .counts")).to_contain_text("30 will be sent")
    expect(page.get_by_text("30 people not seen by Roster before")).to_be_visible()
    assert here.lms.changes == {}

    page.get_by_role("button", name="Send 30 rows").click()
    page.wait_for_url("**/jobs/*")
    if scripts:
        see_the_end(page)
    else:
        here.lms.until(lambda lms: len(lms.standing) == 30)
        for _ in range(30):
            page.reload()
            if page.locator("[data-moves=no]").count():
                break
            page.wait_for_timeout(200)
        expect(page.locator("#stands")).to_contain_text("Done")
    expect(page.locator("#now")).to_contain_text("30 of 30 have an outcome")

    rows = read_csv(report_of(page, "Report (CSV)", here.office.folder))
    assert [row["_status"] for row in rows] == ["registered"] * 30
    assert [row["Contact"] for row in rows] == [row["Contact"] for row in unmapped(people, 30)]
    assert len(here.lms.standing) == 30


def test_all_of_it_can_be_done_by_the_keyboard_alone(desk: Callable[..., Any], people: Callable[..., Any]) -> None:
    here = desk()
    file = here.office.roster("keys.csv", people(3))
    page = here.open()

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    with page.expect_file_chooser() as choosing:
        press_until(page, "file")
        page.keyboard.press("Enter")
    choosing.value.set_files(file)
    page.wait_for_url("**/drafts/*")

    press_until(page, "go")
    page.keyboard.press("Enter")
    page.wait_for_url("**/jobs/*")
    see_the_end(page)
    press_until(page, "get-csv")
    with page.expect_download() as downloading:
        page.keyboard.press("Enter")
    assert downloading.value.suggested_filename == "keys.results.csv"


def press_until(page: Page, wanted: str) -> None:
    """Press Tab until the element of that id has the focus; every step of the way shows where one is."""
    for _ in range(80):
        page.keyboard.press("Tab")
        here = page.evaluate(
            "() => { const at = document.activeElement, look = getComputedStyle(at);"
            " return [at.id, look.outlineStyle !== 'none' && parseFloat(look.outlineWidth) > 0]; }"
        )
        assert here[1], f"nobody sees that {here[0] or 'an element'} has the focus"
        if here[0] == wanted:
            return
    pytest.fail(f"Tab never came to {wanted}")


def test_who_is_there_already_and_what_it_costs_is_said_before_anything_is_sent(
    desk: Callable[..., Any], people: Callable[..., Any], dropped: Callable[..., Page]
) -> None:
    here = desk(connection={"rate": "50/second"})
    page = dropped(here, here.office.people("first.csv", 4))
    page.locator("#go").click()
    page.wait_for_url("**/jobs/*")
    see_the_end(page)
    changes = here.lms.changes

    doubles = [*people(6), people(1)[0], {**people(1)[0], "email": "nobody"}]
    page = dropped(here, here.office.roster("second.csv", doubles))

    counts = page.locator("#comes-to + .counts")
    expect(counts).to_contain_text("2 will be sent")
    expect(counts).to_contain_text("4 ✓ registered already")
    expect(counts).to_contain_text("1 = duplicate")
    expect(counts).to_contain_text("1 ! must be mended")
    expect(page.get_by_text("not sent again: rows 2, 3, 4, 5.")).to_be_visible()
    expect(page.get_by_text("at 50 calls a second")).to_be_visible()
    expect(page.locator("#problems")).to_contain_text(re.compile(r"9\s*email"))
    expect(page.locator("#duplicates")).to_contain_text("Row 8")
    assert here.lms.changes == changes


def test_a_job_can_be_dropped_now_and_begin_later_in_the_zone_of_the_browser(
    desk: Callable[..., Any], dropped: Callable[..., Page]
) -> None:
    here = desk()
    page = dropped(here, here.office.people("later.csv", 2), timezone_id="Asia/Tokyo")
    expect(page.get_by_text("in your time zone (Asia/Tokyo)")).to_be_visible()

    # Tomorrow, by the clock of Tokyo.
    wanted = page.evaluate(
        "() => { const at = new Date(Date.now() + 864e5); at.setHours(9, 30, 0, 0);"
        " const two = (n) => String(n).padStart(2, '0');"
        " return [`${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}T09:30`, at.toISOString()]; }"
    )
    page.get_by_label("Begin at").fill(wanted[0])
    page.locator("#go").click()
    page.wait_for_url("**/jobs/*")

    expect(page.locator("#stands")).to_contain_text("Planned")
    begins = page.locator("#now time").nth(1)
    assert begins.get_attribute("datetime") == wanted[1].replace(".000Z", "Z")
    assert here.lms.changes == {}
