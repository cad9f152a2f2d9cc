"""A real browser, a real `roster serve` and a real sandbox. Without a browser these tests are skipped."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, expect, sync_playwright

from tests.browser.chromium import ARGUMENTS, find_browser
from tests.conftest import offices, sandboxes
from tests.fork_client import ForkServer
from tests.web_server import start_web_server

#: How long an expected change may take (milliseconds).
TIMEOUT = 45_000.0
expect.set_options(timeout=TIMEOUT)


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
class Site:
    """A running `roster serve` of an office, whose pages are opened in a browser."""

    url: str
    office: Any
    lms: Any
    browser: Browser
    stack: ExitStack
    #: The path that gives a browser access while there are no accounts.
    address: str = "/"
    #: Errors in the browser: of scripts, in the console, and requests to other hosts.
    errors: list[str] = field(default_factory=list)

    def open(self, path: str = "/", **options: Any) -> Page:
        """Open a page in a new window; `options` are those of a browser context."""
        context = self.browser.new_context(base_url=self.url, **options)
        self.stack.callback(context.close)
        context.request.get(self.address)
        return self.page_in(context, path)

    def page_in(self, context: BrowserContext, path: str) -> Page:
        context.set_default_timeout(TIMEOUT)
        page = context.new_page()
        page.on("pageerror", lambda error: self.errors.append(f"script: {error}"))
        page.on(
            "console",
            lambda message: self.errors.append(f"console: {message.text}") if message.type == "error" else None,
        )
        page.on("request", lambda request: self._note_host(request.url))
        page.goto(path)
        return page

    def _note_host(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in {"http", "https"} and f"{parts.scheme}://{parts.netloc}" != self.url:
            self.errors.append(f"another host: {url}")

    def check_no_errors(self) -> None:
        assert self.errors == []

    def ignore_errors(self, *words: str) -> None:
        """Forget errors that a test has caused on purpose."""
        self.errors = [each for each in self.errors if not any(word in each for word in words)]


@pytest.fixture
def open_site(
    browser: Browser,
    office: Callable[..., Any],
    sandbox: Callable[..., Any],
    _tls: ssl.SSLContext,
) -> Iterator[Callable[..., Site]]:
    """Start a site: `open_site()` for Tahdah, `open_site("kmi")`, with options of the sandbox.

    At the end no page may have had an error.
    """
    with sites(browser, office, sandbox, _tls) as start:
        yield start


@pytest.fixture(scope="module")
def open_shared_site(
    browser: Browser,
    fork_server: ForkServer,
    tmp_path_factory: pytest.TempPathFactory,
    _empty_ledger: Path,
    _tls: ssl.SSLContext,
) -> Iterator[Callable[..., Site]]:
    """Start a site for the tests of a module, which only read its pages."""
    place = tmp_path_factory.mktemp("site")
    with (
        offices(place, _empty_ledger, fork_server) as office,
        sandboxes(_tls) as sandbox,
        sites(browser, office, sandbox, _tls) as start,
    ):
        yield start


@contextmanager
def sites(
    browser: Browser,
    office: Callable[..., Any],
    sandbox: Callable[..., Any],
    tls: ssl.SSLContext,
) -> Iterator[Callable[..., Site]]:
    """Yield what starts sites; they are stopped at the end, when no page may have had an error."""
    opened: list[Site] = []
    with ExitStack() as stack:

        def start(
            name: str = "north", *, toml: str = "", connection: dict[str, Any] | None = None, **options: Any
        ) -> Site:
            lms = sandbox(**options)
            served_office = office(lms, name, **(connection or {}))
            if toml:
                config = served_office.folder / "roster.toml"
                config.write_text(f"{toml}\n{config.read_text('utf-8')}", encoding="utf-8")
            server = start_web_server(served_office, tls)
            stack.callback(server.close)
            opened.append(Site(server.url, served_office, lms, browser, stack, server.address))
            return opened[-1]

        yield start
        for each in opened:
            each.check_no_errors()


@pytest.fixture(scope="session")
def upload() -> Callable[..., Page]:
    """Upload a file on the start page and wait for its draft."""

    def upload_file(site: Site, file: Path, **options: Any) -> Page:
        page = site.open(**options)
        page.get_by_label("Drag your spreadsheet here").set_input_files(file)
        page.wait_for_url("**/drafts/*")
        return page

    return upload_file
