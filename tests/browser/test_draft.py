"""A draft before anything is sent: its preview, and how a person corrects it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
from playwright.sync_api import Page, expect

from tests.browser.test_appearance import CONTRAST, PROBLEMS


def test_another_sheet_can_be_chosen(open_site: Callable[..., Any], upload: Callable[..., Page]) -> None:
    site = open_site()
    book = openpyxl.Workbook()
    book.active.title = "Spring"
    book.active.append(["email", "first name", "last name", "course_id"])
    book.active.append(["a@example.com", "A", "One", 58])
    other = book.create_sheet("Autumn")
    other.append(["email", "first name", "last name", "course_id"])
    for number in range(2):
        other.append([f"b{number}@example.com", "B", "Two", 58])
    book.save(site.office.folder / "terms.xlsx")

    page = upload(site, site.office.folder / "terms.xlsx")
    expect(page.get_by_label("Sheet")).to_have_value("Spring")
    expect(page.get_by_role("button", name="Register 1 person in north")).to_be_visible()
    page.get_by_label("Sheet").select_option("Autumn")
    page.get_by_role("button", name="Update preview").click()

    expect(page.get_by_role("button", name="Register 2 people in north")).to_be_visible()
    expect(page.get_by_label("Sheet")).to_have_value("Autumn")


def test_an_uncertain_encoding_is_chosen_by_the_names_as_each_encoding_reads_them(
    open_site: Callable[..., Any], upload: Callable[..., Page]
) -> None:
    site = open_site()
    text = "email,first name,last name,course_id\na@example.com,Zoë,Brown,58\n"
    page = upload(site, site.office.write("old.csv", text.encode("mac-roman")))

    expect(page.get_by_role("group", name="Which names look right?")).to_be_visible()
    page.get_by_label("Zoë").first.check()
    page.get_by_role("button", name="Update preview").click()

    expect(page.get_by_role("cell", name="Zoë", exact=True).first).to_be_visible()
    expect(page.get_by_role("button", name="Register 1 person in north")).to_be_visible()


def test_a_file_that_is_not_a_roster_is_explained_and_cannot_be_sent(
    open_site: Callable[..., Any], upload: Callable[..., Page], samples: Path
) -> None:
    site = open_site()
    for file in (samples / "wrong_headings.xlsx", site.office.write("picture.csv", bytes(range(256)) * 40)):
        page = upload(site, file)
        expect(page.locator("#problem")).to_contain_text("This file needs attention")
        expect(page.locator("#send")).to_have_count(0)
        assert "--" not in page.locator("main").inner_text()
    page.get_by_role("link", name="Discard …").click()
    page.get_by_role("button", name="Discard the draft").click()
    expect(page.get_by_role("status")).to_contain_text("Discarded. Nothing was sent.")
    assert not any((site.office.folder / "roster-files" / "drafts").glob("*/picture*"))
    assert site.lms.changes == {}


def test_a_form_that_is_being_sent_is_sent_once_also_when_its_page_is_shown_late(
    open_site: Callable[..., Any], upload: Callable[..., Page]
) -> None:
    site = open_site()
    page = upload(site, site.office.people("spring.csv", 1))
    page.evaluate("document.addEventListener('submit', (event) => event.preventDefault())")
    page.locator("#send").click()
    expect(page.locator("#send")).to_be_disabled()

    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: false }))")
    expect(page.locator("#send")).to_be_disabled()
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    expect(page.locator("#send")).to_be_enabled()


def test_a_changed_draft_is_previewed_before_it_is_sent(
    open_site: Callable[..., Any], upload: Callable[..., Page], people: Callable[..., Any]
) -> None:
    site = open_site()
    without_course = [{name: value for name, value in each.items() if name != "course_id"} for each in people(3)]
    page = upload(site, site.office.roster("course.csv", [*without_course, {**without_course[0], "email": "x"}]))
    expect(page.get_by_text("Nothing to send").or_(page.get_by_text("will not be sent"))).to_be_visible()

    page.get_by_label("Default course").fill("58")
    page.locator("#send").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was sent yet")
    expect(page.get_by_role("button", name="Register 3 people in north")).to_be_visible()
    assert site.lms.changes == {}

    page.get_by_role("button", name="Register 3 people in north").click()
    page.wait_for_url("**/jobs/*")


def test_all_or_nothing_sends_nothing_while_a_row_has_an_error(
    open_site: Callable[..., Any], upload: Callable[..., Page], people: Callable[..., Any]
) -> None:
    site = open_site()
    page = upload(site, site.office.roster("whole.csv", [*people(2), {**people(1)[0], "email": "x"}]))
    page.get_by_text("More options").click()
    page.get_by_label("All or nothing").check()
    page.get_by_role("button", name="Update preview").click()

    expect(page.locator("#send")).to_have_count(0)
    expect(page.get_by_text("Some rows have errors")).to_be_visible()


def test_two_headings_for_one_column_are_corrected_on_the_page(
    open_site: Callable[..., Any], upload: Callable[..., Page], people: Callable[..., Any]
) -> None:
    site = open_site()
    rows = [{**each, "E-Mail": "old@example.com"} for each in people(2)]
    page = upload(site, site.office.roster("twice.csv", rows))
    expect(page.locator("#problem + *")).to_contain_text("Two headings match")

    page.get_by_label("E-Mail", exact=True).select_option("")
    page.get_by_role("button", name="Update preview").click()

    expect(page.get_by_role("button", name="Register 2 people in north")).to_be_visible()


def test_a_draft_is_gone_once_it_was_sent(
    open_site: Callable[..., Any], upload: Callable[..., Page], people: Callable[..., Any]
) -> None:
    site = open_site()
    page = upload(site, site.office.roster("once.csv", people(1)))
    address = page.url
    page.locator("#send").click()
    page.wait_for_url("**/jobs/*")

    page.goto(address)
    expect(page.get_by_role("heading", name="Page not found")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("Upload the file again")
    assert list((site.office.folder / "roster-files" / "drafts").iterdir()) == []
    site.ignore_errors("404")


def test_a_file_that_is_too_large_is_refused_with_a_page_that_says_so(open_site: Callable[..., Any]) -> None:
    site = open_site(toml="serve.max_upload_mb = 1")
    page = site.open()
    page.get_by_label("Drag your spreadsheet here").set_input_files(
        site.office.write("big.csv", b"a,b\n" * 800_000)
    )

    expect(page.get_by_role("heading", name="File too large")).to_be_visible()
    site.ignore_errors("413")


def test_leaving_a_changed_draft_warns_and_sending_or_discarding_it_does_not(
    open_site: Callable[..., Any], upload: Callable[..., Page], people: Callable[..., Any]
) -> None:
    site = open_site()
    page = upload(site, site.office.roster("left.csv", people(2)))
    warned: list[str] = []

    def stay(dialog: Any) -> None:
        warned.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    page.get_by_label("Default course").fill("59")
    page.get_by_role("link", name="Jobs").click()
    expect(page.get_by_label("Default course")).to_have_value("59")
    assert warned == ["beforeunload"]

    page.get_by_role("button", name="Update preview").click()
    expect(page.locator("#draft.changed")).to_have_count(0)
    page.get_by_label("Default course").fill("60")
    with page.expect_request("**/discard"):
        page.get_by_role("link", name="Discard …").click()
    expect(page.get_by_role("heading", name="Discard left.csv?"), f"warned: {warned}").to_be_visible()
    page.get_by_role("link", name="No, go back").click()
    expect(page.get_by_role("button", name="Register 2 people in north")).to_be_visible()
    assert warned == ["beforeunload"]


def test_the_link_of_an_error_leads_to_its_field(
    open_site: Callable[..., Any], upload: Callable[..., Page], people: Callable[..., Any]
) -> None:
    site = open_site()
    page = upload(site, site.office.roster("wrong.csv", people(2)))
    page.get_by_text("More options").click()
    page.get_by_label("Start at row").fill("two")
    page.get_by_label("Maximum number of rows").fill("-1")
    page.get_by_role("button", name="Update preview").click()

    expect(page.get_by_role("alert").filter(has_text="Fix 2 fields")).to_be_visible()
    page.get_by_role("link", name="Maximum number of rows").click()
    expect(page.get_by_label("Maximum number of rows")).to_be_focused()
    assert page.evaluate(PROBLEMS) == []
    assert page.evaluate(CONTRAST) == []
    site.ignore_errors("422")
