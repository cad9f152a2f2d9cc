"""What every page must be: readable by everybody, on every screen, in light and dark, from no other host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

PAGES = (
    "/",
    "/jobs",
    "/jobs/1",
    "/jobs/1?status=in_doubt",
    "/jobs/1/cancel",
    "/schedules",
    "/connections",
    "/codes",
)

#: Every text that is seen, with its contrast against what is behind it; large or bold large text may have less.
CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].map((part, at) => at === 3 ? part / 255 : part);
  };
  const light = ([r, g, b]) => [r, g, b].map((part) => part / 255)
    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const over = (top, below) => [0, 1, 2].map((at) => top[at] * top[3] + below[at] * (1 - top[3]));
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, look = getComputedStyle(element);
    const text = walker.currentNode.textContent.trim();
    if (!text || !element.checkVisibility() || element.closest(".unseen, .skip")) continue;
    const back = behind(element), front = over(rgba(look.color), back);
    const [a, b] = [light(front), light(back)].sort((x, y) => y - x);
    const size = parseFloat(look.fontSize), large = size >= 24 || (size >= 18.66 && look.fontWeight >= 700);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < (large ? 3 : 4.5)) poor.push(`${text.slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return poor;
}"""

#: What a screen reader would stumble over.
STUMBLES = """() => {
  const found = [];
  const named = (element) => element.labels?.length || element.getAttribute("aria-label")
    || (element.getAttribute("aria-labelledby") || "").split(" ").some((id) => document.getElementById(id));
  for (const field of document.querySelectorAll("input:not([type=hidden]), select, textarea"))
    if (!named(field)) found.push(`no label: ${field.name}`);
  for (const each of document.querySelectorAll("button, a"))
    if (!each.textContent.trim() && !each.ariaLabel) found.push(`no name: ${each.outerHTML.slice(0, 80)}`);
  let last = 0;
  for (const heading of document.querySelectorAll("h1, h2, h3, h4")) {
    const level = Number(heading.tagName[1]);
    if (level > last + 1) found.push(`heading ${level} after ${last}: ${heading.textContent}`);
    last = level;
  }
  if (document.querySelectorAll("h1").length !== 1) found.push("not one h1");
  if (!document.documentElement.lang) found.push("no language");
  if (document.querySelectorAll("main").length !== 1) found.push("not one main");
  for (const table of document.querySelectorAll("table"))
    if ([...table.querySelectorAll("th")].some((head) => !head.scope)) found.push("a header cell without scope");
  const ids = [...document.querySelectorAll("[id]")].map((each) => each.id);
  found.push(...ids.filter((id, at) => ids.indexOf(id) !== at).map((id) => `twice: #${id}`));
  for (const each of document.querySelectorAll("[aria-labelledby], [aria-describedby], label[for]"))
    for (const id of (each.getAttribute("aria-labelledby") || each.getAttribute("aria-describedby") || each.htmlFor)
      .split(" "))
      if (!document.getElementById(id)) found.push(`points nowhere: ${id}`);
  for (const image of document.querySelectorAll("img:not([alt]), svg:not([aria-label]):not([aria-hidden])"))
    found.push(`no text for ${image.tagName}`);
  return found;
}"""


@pytest.fixture
def filled(desk: Callable[..., Any], people: Callable[..., Any], dropped: Callable[..., Page]) -> tuple[Any, str]:
    """Return a desk with a job that has every kind of row, and the path of a draft."""
    here = desk(bad_days=["create_candidate:lost-after:nth=2"])
    rows = [*people(6), people(1)[0], {**people(1)[0], "email": "nobody"}]
    page = dropped(here, here.office.roster("all-kinds.csv", rows))
    page.locator("#go").click()
    page.wait_for_url("**/jobs/*")
    expect(page.locator("[data-moves=no]")).to_be_visible(timeout=45_000)
    page = dropped(here, here.office.roster("again.csv", [*rows, {**people(1, first=9)[0], "T-shirt": "M"}]))
    return here, page.url.removeprefix(here.url)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_can_be_read_by_weak_eyes(filled: tuple[Any, str], scheme: str) -> None:
    here, draft = filled
    page = here.open(color_scheme=scheme)
    for path in (*PAGES, draft):
        page.goto(path)
        assert page.evaluate(CONTRAST) == [], path


def test_nothing_makes_a_screen_reader_stumble(filled: tuple[Any, str]) -> None:
    here, draft = filled
    page = here.open()
    for path in (*PAGES, draft):
        page.goto(path)
        assert page.evaluate(STUMBLES) == [], path


def test_no_page_is_wider_than_a_phone(filled: tuple[Any, str]) -> None:
    here, draft = filled
    for width in (390, 320):
        page = here.open(viewport={"width": width, "height": 800})
        for path in (*PAGES, draft):
            page.goto(path)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_what_stands_on_the_page_speaks_of_buttons_and_not_of_commands(filled: tuple[Any, str]) -> None:
    here, draft = filled
    page = here.open()
    for path in ("/jobs/1", "/codes", draft):
        page.goto(path)
        said = page.locator("main").inner_text()
        assert "--" not in said, path
        assert "`" not in said, path
        assert "roster resolve" not in said, path


def test_times_are_told_in_the_zone_of_the_browser_and_in_utc_without_scripts(filled: tuple[Any, str]) -> None:
    here, _ = filled
    with_scripts = here.open("/jobs", locale="en-GB", timezone_id="Asia/Kolkata").locator("time").first
    without = here.open("/jobs", java_script_enabled=False).locator("time").first

    assert without.inner_text().endswith("UTC")
    assert with_scripts.inner_text() != without.inner_text()
    assert with_scripts.get_attribute("title") == without.inner_text()


def test_what_is_not_there_is_said_in_the_same_dress(desk: Callable[..., Any]) -> None:
    here = desk()
    page = here.open("/")
    for path in ("/nowhere", "/jobs/99", f"/jobs/{2**60}", "/drafts/x", "/jobs/1/explode"):
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == 404, path
        expect(page.get_by_role("heading", level=1)).to_have_text("There is nothing here")
        expect(page.get_by_role("navigation", name="Main")).to_be_visible()
    here.forgive("404")


def test_an_empty_house_says_what_to_do(desk: Callable[..., Any]) -> None:
    here = desk()
    page = here.open("/")
    expect(page.get_by_text("The first roster you drop appears here.")).to_be_visible()
    page.goto("/jobs")
    expect(page.get_by_role("link", name="Drop a roster").last).to_be_visible()
    page.goto("/schedules")
    expect(page.get_by_text("Nothing is scheduled.")).to_be_visible()


def test_a_link_leads_to_flower_where_one_is_configured(desk: Callable[..., Any]) -> None:
    here = desk(toml='serve.flower_url = "http://127.0.0.1:5555"')

    expect(here.open("/").get_by_role("link", name="Flower")).to_have_attribute("href", "http://127.0.0.1:5555")
