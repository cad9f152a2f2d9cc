"""The pages in this process, as a browser without scripts on this machine sees them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.builders import open_ledger
from worker.bootstrap import Services
from worker.settings import Settings
from worker.web.app import make_app
from worker.web.local_access import LocalAccess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TOKEN = "token-of-this-machine"
CONNECTION = {"system": "tahdah", "base_url": "http://127.0.0.1:9", "token": "secret"}


@dataclass
class Form(HTMLParser):
    """What a form of a page holds, as a browser would send it without any button."""

    wanted: str
    fields: dict[str, str] = field(default_factory=dict)
    _inside: bool = False
    _select: str = ""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self._inside = given.get("id") == self.wanted or given.get("action") == self.wanted
        name, value = given.get("name") or "", given.get("value")
        if not self._inside:
            return
        if tag == "select":
            self._select = name
        elif tag == "option" and ("selected" in given or self._select not in self.fields):
            self.fields[self._select] = value or ""
        elif tag == "input" and (given.get("type") not in {"checkbox", "radio"} or "checked" in given):
            self.fields[name] = value or ("on" if given.get("type") == "checkbox" else "")


def form_in(text: str, wanted: str) -> dict[str, str]:
    """Return what the form of that id or address holds."""
    form = Form(wanted)
    form.feed(text)
    return form.fields


@dataclass
class Browser:
    """A browser on this machine, and the services of the server."""

    client: httpx.AsyncClient
    services: Services

    async def get(self, path: str) -> str:
        answer = await self.client.get(path, follow_redirects=True)
        assert answer.status_code == 200, answer.text
        return answer.text

    async def post(self, path: str, fields: dict[str, str]) -> httpx.Response:
        return await self.client.post(path, data=fields)

    async def follow(self, answer: httpx.Response) -> str:
        """Return the page that a form leads to; reloading it sends nothing."""
        assert answer.status_code == 303, answer.text
        return await self.get(answer.headers["location"])

    async def upload(self, content: str | bytes, name: str = "a.csv") -> str:
        """Upload a roster and return the address of its draft."""
        body = content.encode() if isinstance(content, str) else content
        token = form_in(await self.get("/"), "upload")["csrf"]
        answer = await self.client.post(
            "/drafts", data={"csrf": token, "connection": "north"}, files={"file": (name, body)}
        )
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    def notice(self, text: str) -> str:
        """Return the notice of a page."""
        found = re.search(r'<p class="notice \w+" role="(?:alert|status)">(.*?)</p>', text)
        return found[1] if found else ""


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    ledger = open_ledger(tmp_path)
    settings = Settings(files=str(tmp_path / "files"), connections={"north": CONNECTION})
    services = Services(settings=settings, ledger=ledger, owner="a/1/1")
    app = make_app(services, LocalAccess(TOKEN))
    transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 1))
    headers = {"Origin": "http://127.0.0.1"}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
        await client.get(f"/?token={TOKEN}")
        yield Browser(client, services)
    ledger.close()
