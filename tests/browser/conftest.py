"""A real browser, a real `roster serve` and a real sandbox. Without a browser these tests are skipped."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Generator, Iterator
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


#: The event loop of Playwright while it is started.
_LOOP = pytest.StashKey[asyncio.AbstractEventLoop | None]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Let Playwright's event loop count as running for the tests with a browser alone.

    From its start to its end it counts as running in the main thread, where no other test that is a coroutine could
    be run then; to start a browser for each module takes longer than many a test.
    """
    if item.path.parent != Path(__file__).parent:
        return (yield)
    asyncio._set_running_loop(item.session.stash.get(_LOOP, None))
    try:
        return (yield)
    finally:
        asyncio._set_running_loop(None)


@pytest.fixture(scope="session")
def windows(request: pytest.FixtureRequest) -> Iterator[Windows]:
    """Start a browser, once for all tests of this process."""
    playwright = sync_playwright().start()
    try:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=ARGUMENTS)
    except Error as error:
        playwright.stop()
        reason = str(error).partition("\n")[0]
        pytest.skip(f"no browser: install Debian's chromium, or name one in ROSTER_CHROMIUM ({reason})")
    loop = request.session.stash[_LOOP] = asyncio.get_running_loop()
    yield Windows(browser)
    # The last test of the process may be one without a browser.
    asyncio._set_running_loop(loop)
    browser.close()
    playwright.stop()
    request.session.stash[_LOOP] = None


@dataclass
class Windows:
    """The windows of a browser. One is emptied and used again: to open it takes as long as to open two pages."""

    browser: Browser
    _free: list[BrowserContext] = field(default_factory=list)

    @contextmanager
    def take(self, *, own: bool, **options: Any) -> Iterator[BrowserContext]:
        """Yield a window without pages and cookies; a new one if it is to be the test's own, or has options."""
        own = own or bool(options)
        # While a page scrolls smoothly, a button may be elsewhere when it is released than where it was pressed.
        options = {"reduced_motion": "reduce", **options}
        context = self.browser.new_context(**options) if own or not self._free else self._free.pop()
        context.set_default_timeout(TIMEOUT)
        yield context
        if own:
            context.close()
            return
        for page in context.pages:
            page.close()
        context.clear_cookies()
        self._free.append(context)


@dataclass
class Site:
    """A running `roster serve` of an office, whose pages are opened in a browser."""

    url: str
    office: Any
    lms: Any
    windows: Windows
    stack: ExitStack
    #: The path that gives a browser access while there are no accounts.
    address: str = "/"
    #: Errors in the browser: of scripts, in the console, and requests to other hosts.
    errors: list[str] = field(default_factory=list)

    def open(self, path: str = "/", *, own: bool = False, **options: Any) -> Page:
        """Open a page in another window; `options` are those of a browser context.

        A test that changes the clock or the requests of a window needs its `own`: no other test uses it.
        """
        context = self.stack.enter_context(self.windows.take(own=own, **options))
        context.request.get(self.url + self.address)
        return self.page_in(context, path)

    def page_in(self, context: BrowserContext, path: str) -> Page:
        page = context.new_page()
        page.on("pageerror", lambda error: self.errors.append(f"script: {error}"))
        page.on(
            "console",
            lambda message: self.errors.append(f"console: {message.text}") if message.type == "error" else None,
        )
        page.on("request", lambda request: self._note_host(request.url))
        page.goto(self.url + path)
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
    windows: Windows,
    office: Callable[..., Any],
    sandbox: Callable[..., Any],
    _tls: ssl.SSLContext,
) -> Iterator[Callable[..., Site]]:
    """Start a site: `open_site()` for Tahdah, `open_site("kmi")`, with options of the sandbox.

    At the end no page may have had an error.
    """
    with sites(windows, office, sandbox, _tls) as start:
        yield start


@pytest.fixture(scope="module")
def open_shared_site(
    windows: Windows,
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
        sites(windows, office, sandbox, _tls) as start,
    ):
        yield start


@contextmanager
def sites(
    windows: Windows,
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
            opened.append(Site(server.url, served_office, lms, windows, stack, server.address))
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
