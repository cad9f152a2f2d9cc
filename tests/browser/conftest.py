"""A real browser before a real `roster serve` and a real sandbox. Without a browser these tests are skipped."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, sync_playwright

from tests.browser.chromium import ARGUMENTS, find_browser
from tests.web_server import open_door

PATIENCE = 45_000.0


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start a browser, once for the tests of a module.

    No longer: while Playwright is started, its event loop counts as running in the main thread, and a test
    that is a coroutine cannot be run there.
    """
    with sync_playwright() as playwright:
        try:
            started = playwright.chromium.launch(executable_path=find_browser(), args=ARGUMENTS)
        except Error as error:
            reason = str(error).partition("\n")[0]
            pytest.skip(f"no browser: install Debian's chromium, or name one in ROSTER_CHROMIUM ({reason})")
        yield started
        started.close()


@dataclass
class Desk:
    """A `roster serve` at work over an office, and how a person opens its pages."""

    url: str
    office: Any
    lms: Any
    browser: Browser
    stack: ExitStack
    #: What went wrong in the browser while nobody looked: errors of scripts, of the console, calls to other hosts.
    troubles: list[str] = field(default_factory=list)

    def open(self, path: str = "/", **options: Any) -> Page:
        """Open a page in a window of its own; `options` are those of a browser context."""
        context = self.browser.new_context(base_url=self.url, **options)
        self.stack.callback(context.close)
        return self.page_in(context, path)

    def page_in(self, context: BrowserContext, path: str) -> Page:
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.on("pageerror", lambda error: self.troubles.append(f"script: {error}"))
        page.on(
            "console", lambda said: self.troubles.append(f"console: {said.text}") if said.type == "error" else None
        )
        page.on("request", lambda request: self._note_host(request.url))
        page.goto(path)
        return page

    def _note_host(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in {"http", "https"} and f"{parts.scheme}://{parts.netloc}" != self.url:
            self.troubles.append(f"another host: {url}")

    def nothing_was_wrong(self) -> None:
        assert self.troubles == []

    def forgive(self, *words: str) -> None:
        """Forget troubles that a test brought about by intent."""
        self.troubles = [each for each in self.troubles if not any(word in each for word in words)]


@pytest.fixture
def desk(
    browser: Browser, office: Callable[..., Any], sandbox: Callable[..., Any], _tls: ssl.SSLContext
) -> Iterator[Callable[..., Desk]]:
    """Open a desk: `desk()` for Tahdah, `desk("kmi")`, with options of the sandbox.

    Afterwards nothing was wrong.
    """
    opened: list[Desk] = []
    with ExitStack() as stack:

        def start(
            name: str = "north", *, toml: str = "", connection: dict[str, Any] | None = None, **options: Any
        ) -> Desk:
            lms = sandbox(**options)
            place = office(lms, name, **(connection or {}))
            if toml:
                config = place.folder / "roster.toml"
                config.write_text(f"{toml}\n{config.read_text('utf-8')}", encoding="utf-8")
            door = open_door(place, _tls)
            stack.callback(door.close)
            opened.append(Desk(door.url, place, lms, browser, stack))
            return opened[-1]

        yield start
        for each in opened:
            each.nothing_was_wrong()


@pytest.fixture
def dropped() -> Callable[..., Page]:
    """Drop a file on the first page and come to its draft."""

    def drop(desk: Desk, file: Path, **options: Any) -> Page:
        page = desk.open(**options)
        page.get_by_label("Drop your spreadsheet here").set_input_files(file)
        page.wait_for_url("**/drafts/*")
        return page

    return drop
