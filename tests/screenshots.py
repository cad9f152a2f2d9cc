"""Pictures of the page and of Flower for docs/ (`make screenshots`), taken in a real browser over a sandbox."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests import flower_picture
from tests.browser.chromium import ARGUMENTS, find_browser, is_up
from tests.conftest import ROSTER, SECRETS, wait_until
from tests.servers import free_port
from worker.sandbox.server import make_state, running

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs" / "screenshots"
DESKTOP, PHONE = {"width": 1100, "height": 760}, {"width": 390, "height": 780}
FIRST = ("Ana", "Piotr", "Gráinne", "Amara", "Sofia", "Hiroshi", "Lena", "Yara", "Oleg", "Fatima")
LAST = ("Walsh", "Zieliński", "Nwosu", "Ito", "Vogel", "Costa", "Bondar", "Marchetti", "Kovač", "Ní Bhriain")
TOKEN = "token-of-the-pictures"
CONFIGURATION = """
[connections.north]
system = "tahdah"
base_url = "{url}"
token = "env:SANDBOX_TOKEN"
legal_entity_id = 42
behavior = 1
batch_size = 20
rate = "25/second"
"""


def main() -> int:
    """Take all pictures."""
    PICTURES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="roster-") as folder,
        running(make_state()) as sandbox,
        a_page(Path(folder), sandbox) as url,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=find_browser(), args=ARGUMENTS)
        take(browser, url, intake(Path(folder)))
        queue = Path(folder) / "queue"
        queue.mkdir()
        flower_picture.take(
            browser, queue, CONFIGURATION.format(url=sandbox), intake(queue), PICTURES / "flower.png"
        )
        browser.close()
    return 0


@contextmanager
def a_page(folder: Path, sandbox: str) -> Iterator[str]:
    """Run `roster serve` in a folder and yield its address."""
    (folder / "roster.toml").write_text(CONFIGURATION.format(url=sandbox), encoding="utf-8")
    port = free_port()
    command = [str(ROSTER), "serve", "--port", str(port)]
    process = subprocess.Popen(
        command, cwd=folder, env={**os.environ, **SECRETS, "ROSTER_TOKEN": TOKEN}, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: is_up(f"http://127.0.0.1:{port}"), "the page")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def intake(folder: Path) -> Path:
    """Write a typical roster: 300 people, two rows with errors, a duplicate, an unknown heading."""
    path = folder / "spring-intake.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Forename", "Surname", "E-mail address", "Course", "T-shirt"])
        for number in range(300):
            first, last = FIRST[number % 10], LAST[number // 10 % 10]
            writer.writerow([first, last, f"person{number}@example.com", "58", "SML"[number % 3]])
        writer.writerow(["Ravi", "", "ravi@example.com", "58", "M"])
        writer.writerow(["Ivo", "Kovač", "ivo(at)example.com", "58", "L"])
        writer.writerow([FIRST[0], LAST[0], "person0@example.com", "58", "S"])
    return path


def take(browser: Browser, url: str, roster: Path) -> None:
    """Take a picture at each step of the main path."""
    page = a_window(browser, url, viewport=DESKTOP)
    page.goto(url)
    snap(page, "upload")
    page.locator("#file").set_input_files(roster)
    page.wait_for_url("**/drafts/*")
    page.get_by_label("Course", exact=True).select_option("course_id")
    page.get_by_role("button", name="Update preview").click()
    snap(page, "draft")
    draft = page.url
    phone = a_window(browser, url, viewport=PHONE, color_scheme="light")
    phone.goto(draft)
    snap(phone, "phone")
    page.locator("#send").click()
    page.wait_for_url("**/jobs/*")
    page.wait_for_function("() => parseInt(document.querySelector('.counts b')?.textContent || '0') > 100")
    snap(page, "running")
    page.wait_for_selector("[data-moving=no]", timeout=120_000)
    page.set_viewport_size({"width": 1100, "height": 960})
    page.goto(f"{url}/jobs/1?status=open")
    snap(page, "finished")
    states(page, url, roster)
    dark = a_window(browser, url, viewport=DESKTOP, color_scheme="dark")
    dark.goto(f"{url}/jobs/1")
    snap(dark, "dark")


def states(page: Page, url: str, roster: Path) -> None:
    """Take pictures of a scheduled job, of one whose course was refused, and of a page without an answer."""
    people = roster.read_text("utf-8-sig").splitlines()[:41]
    for name, course in (("scheduled", "59"), ("held", "580")):
        path = roster.with_name(f"{name}.csv")
        path.write_text("\n".join(people).replace(",58,", f",{course},"), encoding="utf-8")
        page.goto(url)
        page.locator("#file").set_input_files(path)
        page.wait_for_url("**/drafts/*")
        page.get_by_label("Course", exact=True).select_option("course_id")
        if name == "scheduled":
            tomorrow = "new Date(Date.now() + 864e5).toISOString().slice(0, 11) + '09:00'"
            page.get_by_label("Start (leave").fill(page.evaluate(tomorrow))
        page.get_by_role("button", name="Update preview").click()
        page.locator("#send").click()
        page.wait_for_url("**/jobs/*")
        if name == "held":
            page.wait_for_selector("#act-course", timeout=60_000)
        snap(page, name)
    page.route("**/jobs/*", lambda route: route.abort())
    page.wait_for_selector("#stale:not([hidden])", timeout=60_000)
    page.screenshot(path=PICTURES / "not-up-to-date.png")
    page.unroute("**/jobs/*")


def a_window(browser: Browser, url: str, **options: Any) -> Page:
    """Open a window that has access."""
    page = browser.new_context(locale="en-GB", **options).new_page()
    page.goto(f"{url}/?token={TOKEN}")
    return page


def snap(page: Page, name: str) -> None:
    """Take a picture once the page has loaded."""
    page.wait_for_load_state("networkidle" if name != "running" else "load")
    page.screenshot(path=PICTURES / f"{name}.png")


if __name__ == "__main__":
    sys.exit(main())
