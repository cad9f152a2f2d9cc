"""Bodies that are not uploads are limited: refused by their Content-Length, or as soon as they are too long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from tests.builders import open_ledger
from worker.accounts import people
from worker.bootstrap import Services
from worker.model import Actor, Role
from worker.settings import Settings
from worker.web import limits
from worker.web.app import make_app
from worker.web.local_access import LocalAccess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ORIGIN = {"Origin": "http://127.0.0.1"}
FORM = {**ORIGIN, "Content-Type": limits.URLENCODED}


class Endless:
    """A body that never ends; `taken` is how much of it was read (bytes)."""

    def __init__(self) -> None:
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self.taken < 64 * 1024 * 1024:
            self.taken += 16 * 1024
            yield b"a" * 16 * 1024


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    ledger = open_ledger(tmp_path)
    services = Services(settings=Settings(files=str(tmp_path / "files")), ledger=ledger, owner="a/1/1")
    app = make_app(services, LocalAccess("token-of-this-machine"))
    transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        await client.get("/?token=token-of-this-machine")
        client.ledger = ledger  # type: ignore[attr-defined]
        yield client
    ledger.close()


def account(browser: httpx.AsyncClient) -> None:
    people.add(
        browser.ledger,  # type: ignore[attr-defined]
        name="ana",
        password="a long and quiet evening",
        role=Role.VIEWER,
        by=Actor(name="-"),
    )


async def test_a_long_sign_in_form_is_refused_by_its_length(browser: httpx.AsyncClient) -> None:
    account(browser)
    long = await browser.post("/sign-in", content=b"name=" + b"a" * limits.MAX_SMALL_BODY_BYTES, headers=FORM)

    assert long.status_code == 413


async def test_a_sign_in_form_that_never_ends_is_cut_off(browser: httpx.AsyncClient) -> None:
    account(browser)
    body = Endless()
    cut = await browser.post("/sign-in", content=body, headers=FORM)

    assert cut.status_code == 400
    assert body.taken < 1024 * 1024
    many = await browser.post("/sign-in", content=b"a=1&" * 11, headers=FORM)
    assert many.status_code == 400


async def test_the_sign_in_form_takes_no_files(browser: httpx.AsyncClient) -> None:
    account(browser)
    with_file = await browser.post("/sign-in", files={"name": ("a.csv", b"email\n")}, headers=ORIGIN)

    assert with_file.status_code == 415


async def test_a_sign_in_form_of_another_site_is_not_even_read(browser: httpx.AsyncClient) -> None:
    account(browser)
    foreign = await browser.post(
        "/sign-in", files={"name": ("a.csv", b"x")}, headers={"Origin": "https://evil.example"}
    )

    assert foreign.status_code == 403


@pytest.mark.parametrize("path", ["/drafts/none", "/jobs/1/pause", "/drafts"])
async def test_a_form_of_the_page_is_limited(browser: httpx.AsyncClient, path: str) -> None:
    long = await browser.post(path, content=b"a" * (limits.MAX_FORM_BYTES + 1), headers=FORM)
    fields = await browser.post(path, content=b"a=1&" * (limits.MAX_FIELDS + 1), headers=FORM)
    field = await browser.post(path, content=b"a=" + b"b" * (limits.MAX_FIELD_BYTES + 1), headers=FORM)

    assert [long.status_code, fields.status_code, field.status_code] == [413, 400, 400]


async def test_a_body_of_the_api_is_limited(browser: httpx.AsyncClient) -> None:
    address = "/api/jobs/1/rows/2/resolve"
    long = await browser.post(address, content=b'"' + b"a" * limits.MAX_SMALL_BODY_BYTES + b'"')
    body = Endless()
    endless = await browser.post(address, content=body)
    nested = await browser.post(address, content=b"[" * 60_000)

    assert [long.status_code, endless.status_code, nested.status_code] == [413, 413, 400]
    assert body.taken < 1024 * 1024
    assert long.headers["content-type"] == "application/problem+json"
