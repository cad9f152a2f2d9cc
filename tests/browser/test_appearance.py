"""Every page is accessible, fits every screen, works in light and dark, and loads nothing from other hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import people

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

#: Visible texts with too little contrast against their background; large text may have less.
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
    if (!text || !element.checkVisibility() || element.closest(".visually-hidden, .skip")) continue;
    const back = behind(element), front = over(rgba(look.color), back);
    const [a, b] = [light(front), light(back)].sort((x, y) => y - x);
    const size = parseFloat(look.fontSize), large = size >= 24 || (size >= 18.66 && look.fontWeight >= 700);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < (large ? 3 : 4.5)) poor.push(`${text.slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return poor;
}"""

#: Problems for a screen reader.
PROBLEMS = """() => {
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


@pytest.fixture(scope="module")
def filled(open_shared_site: Callable[..., Any], upload: Callable[..., Page]) -> tuple[Any, str]:
    """Return a site with a job that has rows of every status, and the path of a draft."""
    site = open_shared_site(bad_days=["create_candidate:lost-after:nth=2"])
    rows = [*people(6), people(1)[0], {**people(1)[0], "email": "nobody"}]
    page = upload(site, site.office.roster("all-kinds.csv", rows))
    page.locator("#send").click()
    page.wait_for_url("**/jobs/*")
    expect(page.locator("[data-moving=no]")).to_be_visible(timeout=45_000)
    page.close()
    page = upload(site, site.office.roster("again.csv", [*rows, {**people(1, first=9)[0], "T-shirt": "M"}]))
    draft = page.url.removeprefix(site.url)
    page.close()
    return site, draft


@pytest.fixture
def open_page(filled: tuple[Any, str]) -> Iterator[Callable[..., Page]]:
    """Open a page of that site in a window, which is closed after the test."""
    site, _ = filled
    with ExitStack() as stack:

        def start(path: str = "/", **options: Any) -> Page:
            page: Page = site.open(path, **options)
            stack.callback(page.close)
            return page

        yield start
    site.check_no_errors()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_enough_contrast(
    filled: tuple[Any, str], open_page: Callable[..., Page], scheme: str
) -> None:
    site, draft = filled
    page = open_page(color_scheme=scheme)
    for path in (*PAGES, draft):
        page.goto(site.url + path)
        assert page.evaluate(CONTRAST) == [], path


def test_every_page_works_with_a_screen_reader_and_is_not_wider_than_a_phone(
    filled: tuple[Any, str], open_page: Callable[..., Page]
) -> None:
    site, draft = filled
    page = open_page(viewport={"width": 1280, "height": 800})
    for path in (*PAGES, draft):
        page.goto(site.url + path)
        assert page.evaluate(PROBLEMS) == [], path
        for width in (390, 320):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_the_pages_name_buttons_instead_of_commands(
    filled: tuple[Any, str], open_page: Callable[..., Page]
) -> None:
    site, draft = filled
    page = open_page()
    for path in ("/jobs/1", "/codes", draft):
        page.goto(site.url + path)
        said = page.locator("main").inner_text()
        assert "--" not in said, path
        assert "`" not in said, path
        assert "roster resolve" not in said, path


def test_times_are_shown_in_the_zone_of_the_browser_and_in_utc_without_scripts(
    open_page: Callable[..., Page],
) -> None:
    with_scripts = open_page("/jobs", locale="en-GB", timezone_id="Asia/Kolkata").locator("time").first
    without = open_page("/jobs", java_script_enabled=False).locator("time").first

    assert without.inner_text().endswith("UTC")
    assert with_scripts.inner_text() != without.inner_text()
    assert with_scripts.get_attribute("title") == without.inner_text()


def test_a_page_that_is_not_found_looks_like_the_others(open_site: Callable[..., Any]) -> None:
    site = open_site()
    page = site.open("/")
    for path in ("/nowhere", "/jobs/99", f"/jobs/{2**60}", "/drafts/x", "/jobs/1/explode"):
        answer = page.goto(site.url + path)
        assert answer is not None
        assert answer.status == 404, path
        expect(page.get_by_role("heading", level=1)).to_have_text("Page not found")
        expect(page.get_by_role("navigation", name="Main")).to_be_visible()
    site.ignore_errors("404")


def test_empty_pages_say_what_to_do(open_site: Callable[..., Any]) -> None:
    site = open_site()
    page = site.open("/")
    expect(page.get_by_text("Your first upload appears here.")).to_be_visible()
    page.goto(site.url + "/jobs")
    expect(page.get_by_role("link", name="Upload a roster")).to_be_visible()
    page.goto(site.url + "/schedules")
    expect(page.get_by_text("No schedules yet.")).to_be_visible()


def test_a_link_leads_to_flower_when_it_is_configured(open_site: Callable[..., Any]) -> None:
    site = open_site(toml='serve.flower_url = "http://127.0.0.1:5555"')

    expect(site.open("/").get_by_role("link", name="Flower")).to_have_attribute("href", "http://127.0.0.1:5555")
