"""A dropped roster before anything is sent: what was understood, and how a person mends it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
from playwright.sync_api import Page, expect


def test_the_sheet_that_counts_can_be_chosen(desk: Callable[..., Any], dropped: Callable[..., Page]) -> None:
    here = desk()
    book = openpyxl.Workbook()
    book.active.title = "Spring"
    book.active.append(["email", "first name", "last name", "course_id"])
    book.active.append(["a@example.com", "A", "One", 58])
    other = book.create_sheet("Autumn")
    other.append(["email", "first name", "last name", "course_id"])
    for number in range(2):
        other.append([f"b{number}@example.com", "B", "Two", 58])
    book.save(here.office.folder / "terms.xlsx")

    page = dropped(here, here.office.folder / "terms.xlsx")
    expect(page.get_by_label("Sheet")).to_have_value("Spring")
    expect(page.get_by_role("button", name="Send 1 row")).to_be_visible()
    page.get_by_label("Sheet").select_option("Autumn")
    page.get_by_role("button", name="Look again").click()

    expect(page.get_by_role("button", name="Send 2 rows")).to_be_visible()
    expect(page.get_by_label("Sheet")).to_have_value("Autumn")


def test_an_uncertain_encoding_is_asked_for_with_the_names_as_each_reads_them(
    desk: Callable[..., Any], dropped: Callable[..., Page]
) -> None:
    here = desk()
    text = "email,first name,last name,course_id\na@example.com,Zoë,Brown,58\n"
    page = dropped(here, here.office.write("old.csv", text.encode("mac-roman")))

    expect(page.get_by_role("group", name="Which of these names are right?")).to_be_visible()
    page.get_by_label("Zoë").first.check()
    page.get_by_role("button", name="Look again").click()

    expect(page.get_by_role("cell", name="Zoë", exact=True).first).to_be_visible()
    expect(page.get_by_role("button", name="Send 1 row")).to_be_visible()


def test_what_is_no_roster_is_said_plainly_and_nothing_can_be_sent(
    desk: Callable[..., Any], dropped: Callable[..., Page], samples: Path
) -> None:
    here = desk()
    for file in (samples / "wrong_headings.xlsx", here.office.write("picture.csv", bytes(range(256)) * 40)):
        page = dropped(here, file)
        expect(page.locator("#wrong")).to_contain_text("Cannot be read yet")
        expect(page.get_by_role("button", name="Send")).to_have_count(0)
        assert "--" not in page.locator("main").inner_text()
    page.get_by_role("button", name="Throw away").click()
    expect(page.get_by_role("status")).to_contain_text("thrown away")
    assert not any((here.office.folder / "roster-files" / "drafts").glob("*/picture*"))
    assert here.lms.changes == {}


def test_what_was_changed_is_looked_at_before_it_is_sent(
    desk: Callable[..., Any], dropped: Callable[..., Page], people: Callable[..., Any]
) -> None:
    here = desk()
    without_course = [{name: value for name, value in each.items() if name != "course_id"} for each in people(3)]
    page = dropped(here, here.office.roster("course.csv", [*without_course, {**without_course[0], "email": "x"}]))
    expect(page.get_by_text("There is nothing to send.").or_(page.get_by_text("will not be sent"))).to_be_visible()

    page.get_by_label("Course for all rows").fill("58")
    page.locator("#go").click()
    expect(page.get_by_role("alert")).to_contain_text("nothing was sent yet")
    expect(page.get_by_role("button", name="Send 3 rows")).to_be_visible()
    assert here.lms.changes == {}

    page.get_by_role("button", name="Send 3 rows").click()
    page.wait_for_url("**/jobs/*")


def test_only_a_whole_roster_is_sent_when_that_is_asked_for(
    desk: Callable[..., Any], dropped: Callable[..., Page], people: Callable[..., Any]
) -> None:
    here = desk()
    page = dropped(here, here.office.roster("whole.csv", [*people(2), {**people(1)[0], "email": "x"}]))
    page.get_by_text("More options").click()
    page.get_by_label("Only a whole roster").check()
    page.get_by_role("button", name="Look again").click()

    expect(page.locator("#go")).to_have_count(0)
    expect(page.get_by_text("some rows must be mended")).to_be_visible()


def test_two_headings_for_one_column_are_settled_on_the_page(
    desk: Callable[..., Any], dropped: Callable[..., Page], people: Callable[..., Any]
) -> None:
    here = desk()
    rows = [{**each, "E-Mail": "old@example.com"} for each in people(2)]
    page = dropped(here, here.office.roster("twice.csv", rows))
    expect(page.locator("#wrong + *")).to_contain_text("Two headings claim")

    page.get_by_label("E-Mail", exact=True).select_option("")
    page.get_by_role("button", name="Look again").click()

    expect(page.get_by_role("button", name="Send 2 rows")).to_be_visible()


def test_a_draft_is_gone_once_it_was_sent(
    desk: Callable[..., Any], dropped: Callable[..., Page], people: Callable[..., Any]
) -> None:
    here = desk()
    page = dropped(here, here.office.roster("once.csv", people(1)))
    address = page.url
    page.locator("#go").click()
    page.wait_for_url("**/jobs/*")

    page.goto(address)
    expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("Drop the file again")
    assert list((here.office.folder / "roster-files" / "drafts").iterdir()) == []
    here.forgive("404")


def test_a_file_that_is_too_large_is_refused_with_a_page_that_says_so(desk: Callable[..., Any]) -> None:
    here = desk(toml="serve.max_upload_mb = 1")
    page = here.open()
    page.get_by_label("Drop your spreadsheet here").set_input_files(
        here.office.write("big.csv", b"a,b\n" * 800_000)
    )

    expect(page.get_by_role("heading", name="That file is too large")).to_be_visible()
    here.forgive("413")
