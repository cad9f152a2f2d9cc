"""Files are taken wherever they are dropped, for the LMS that the person chose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

GOOD = "email,first name,last name,course id\na@example.com,A,One,58\n"


def drop(page: Page, where: str, *files: tuple[str, str]) -> None:
    """Drop files on an element, as a person does from another window."""
    transfer = page.evaluate_handle(
        "(files) => { const made = new DataTransfer();"
        " for (const [name, text] of files) made.items.add(new File([text], name)); return made; }",
        [list(each) for each in files],
    )
    for event in ("dragover", "drop"):
        page.dispatch_event(where, event, {"dataTransfer": transfer})


@pytest.mark.parametrize("path", ["/", "/jobs", "/connections"])
def test_a_file_dropped_anywhere_becomes_a_draft(open_site: Callable[..., Any], path: str) -> None:
    site = open_site()
    page = site.open(path)

    drop(page, "footer", ("dropped.csv", GOOD))

    page.wait_for_url("**/drafts/*")
    expect(page.get_by_role("heading", level=1)).to_have_text("dropped.csv to north")
    expect(page.get_by_role("button", name="Register 1 person in north")).to_be_visible()
    assert site.lms.changes == {}


def test_several_files_make_several_drafts_and_one_that_is_no_roster_is_named(
    open_site: Callable[..., Any],
) -> None:
    site = open_site()
    page = site.open("/jobs")

    drop(page, "main", ("one.csv", GOOD), ("two.csv", GOOD.replace("58", "59")), ("notes.pdf", "%PDF-1.4 notes"))

    lines = page.get_by_role("dialog").locator("li")
    expect(lines).to_have_count(3)
    expect(lines.nth(0)).to_have_text("one.csv: ready to review")
    expect(lines.nth(1)).to_have_text("two.csv: ready to review")
    expect(lines.nth(2)).to_contain_text("notes.pdf: not a roster yet.")
    expect(lines.nth(2)).to_contain_text("PDF")
    lines.nth(1).get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("two.csv to north")
    assert len(list((site.office.folder / "roster-files" / "drafts").iterdir())) == 3


def test_with_several_connections_none_is_chosen_for_the_person(open_site: Callable[..., Any]) -> None:
    other = (
        '[connections.zulu]\nsystem = "tahdah"\nbase_url = "http://127.0.0.1:9"\ntoken = "x"\n'
        "legal_entity_id = 42\nbehavior = 1\n"
    )
    site = open_site(toml=other)
    page = site.open("/")
    connection = page.get_by_label("Connection", exact=True)
    expect(connection).to_have_value("")

    page.get_by_label("Drag your spreadsheet here").set_input_files(site.office.write("a.csv", GOOD))
    expect(connection).to_be_focused()
    assert page.url == f"{site.url}/"
    connection.select_option("zulu")

    page.wait_for_url("**/drafts/*")
    expect(page).to_have_title("a.csv to zulu · Roster")
    expect(page.locator("#summary")).to_have_text("Summary for zulu")
    expect(page.get_by_role("button", name="Register 1 person in zulu")).to_be_visible()
    page.goto(site.url + "/")
    expect(page.get_by_label("Connection", exact=True)).to_have_value("")

    drop(page, "footer", ("b.csv", GOOD), ("c.csv", GOOD))
    page.get_by_role("dialog").get_by_role("button", name="north").click()
    expect(page.get_by_role("dialog").locator("li")).to_have_count(2)
    page.get_by_role("dialog").get_by_role("link", name="b.csv").click()
    expect(page.get_by_role("button", name="Register 1 person in north")).to_be_visible()


#: How much of the focused element is behind the bar; 0 where all of it can be seen.
HIDDEN = """() => {
  const at = document.activeElement, bar = document.querySelector(".decide");
  if (!at || at === document.body || bar.contains(at)) return 0;
  const box = at.getBoundingClientRect(), edge = bar.getBoundingClientRect();
  const isBehind = box.bottom > edge.top + 1 && box.top < edge.bottom;
  return isBehind || box.top < -1 || box.top > innerHeight ? `${at.id || at.name || at.textContent}` : 0;
}"""


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (375, 667)])
def test_the_keyboards_focus_is_never_behind_the_bar(
    open_site: Callable[..., Any], upload: Callable[..., Page], people: Callable[..., Any], width: int, height: int
) -> None:
    site = open_site()
    rows = [{**each, "Team": "A", "Room": "1", "Shift": "b", "Car": "c"} for each in people(3)]
    file = site.office.roster("focus.csv", [*rows, {**rows[0], "email": "x"}])
    page = upload(site, file, viewport={"width": width, "height": height}, reduced_motion="reduce")
    page.get_by_text("More options").click()
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")

    seen = 0
    for key in ("Tab", "Shift+Tab"):
        for _ in range(60):
            page.keyboard.press(key)
            hidden = page.evaluate(HIDDEN)
            assert hidden == 0, f"{hidden} is hidden after {key}"
            seen += page.evaluate("document.activeElement.closest('#draft') !== null")
    assert seen > 40
