"""Signing in and out, as the sign-in page does it."""

from __future__ import annotations

import asyncio
import functools
import re
import threading
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tests.builders import open_ledger
from worker.accounts import guessing, people
from worker.bootstrap import Services
from worker.model import Actor, Role
from worker.settings import Settings
from worker.web.app import HEAVY_AT_ONCE, make_app
from worker.web.login import sign_in, sign_out

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

GOOD = "a long and quiet evening"


async def _form(request: Request) -> Response:
    return PlainTextResponse(request.state.caller.csrf_token)


async def _sign_in(request: Request) -> Response:
    form = await request.form()
    response = PlainTextResponse("in")
    await sign_in(request, str(form.get("name", "")), str(form.get("password", "")), response)
    return response


async def _sign_out(request: Request) -> Response:
    response = PlainTextResponse("out")
    await sign_out(request, response)
    return response


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Starlette]:
    ledger = open_ledger(tmp_path)
    people.add(ledger, name="ana", password=GOOD, role=Role.VIEWER, by=Actor(name="-"))
    made = make_app(Services(settings=Settings(files=str(tmp_path)), ledger=ledger, owner="a/1/1"))
    pages = [
        Route("/try", _form),
        Route("/try/in", _sign_in, methods=["POST"]),
        Route("/try/out", _sign_out, methods=["POST"]),
    ]
    made.router.routes[:0] = pages
    yield made
    ledger.close()


@pytest.fixture
async def browser(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app, client=("192.0.2.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://roster.lan") as client:
        yield client


async def fill_in(browser: httpx.AsyncClient, password: str = GOOD, **headers: str) -> httpx.Response:
    token = (await browser.get("/try")).text
    assert re.fullmatch("[0-9a-f]{64}", token)
    return await browser.post(
        "/try/in",
        data={"name": "ana", "password": password, "csrf": token},
        headers={"Origin": "http://roster.lan", **headers},
    )


async def test_a_signed_in_viewer_has_access_until_they_sign_out(browser: httpx.AsyncClient) -> None:
    assert (await browser.get("/api/jobs")).status_code == 401

    entered = await fill_in(browser)

    assert entered.status_code == 200
    session = entered.headers.get_list("set-cookie")[0]
    assert re.fullmatch(r"roster_session=[\w-]{43}; Path=/; HttpOnly; SameSite=Lax", session)
    assert (await browser.get("/api/jobs")).json() == []
    token = (await browser.get("/try")).text
    assert (await browser.post("/try/out")).status_code == 403
    left = await browser.post("/try/out", data={"csrf": token})
    assert "Max-Age=0" in left.headers["set-cookie"]
    assert (await browser.get("/api/jobs")).status_code == 401


async def test_a_stolen_cookie_is_worth_nothing_after_signing_out(browser: httpx.AsyncClient) -> None:
    await fill_in(browser)
    cookie = browser.cookies["roster_session"]
    token = (await browser.get("/try")).text
    await browser.post("/try/out", data={"csrf": token})

    stolen = await browser.get("/api/jobs", headers={"Cookie": f"roster_session={cookie}"})

    assert stolen.status_code == 401


async def test_another_site_cannot_sign_anyone_in(browser: httpx.AsyncClient) -> None:
    without_token = await browser.post("/try/in", data={"name": "ana", "password": GOOD})

    assert without_token.status_code == 403
    assert (await fill_in(browser, Origin="https://evil.example")).status_code == 403
    assert (await fill_in(browser, **{"Sec-Fetch-Site": "cross-site"})).status_code == 403
    assert "roster_session" not in browser.cookies


async def test_a_wrong_password_is_refused_and_guessing_is_locked_out(browser: httpx.AsyncClient) -> None:
    wrong = [await fill_in(browser, "wrong") for _ in range(guessing.FREE_FAILURES)]
    locked = await fill_in(browser)

    assert {answer.status_code for answer in wrong} == {403}
    assert locked.status_code == 429
    assert 0 < int(locked.headers["retry-after"]) <= guessing.FIRST_WAIT_SECONDS
    assert "roster_session" not in browser.cookies


async def test_over_https_only_cookies_count_that_no_other_site_can_set(app: Starlette) -> None:
    transport = httpx.ASGITransport(app=app, client=("192.0.2.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="https://roster.lan") as browser:
        shown = await browser.get("/try")
        assert re.fullmatch(
            r"__Host-roster_visitor=[\w-]+; Path=/; HttpOnly; SameSite=Lax; Secure", shown.headers["set-cookie"]
        )
        await fill_in(browser, Origin="https://roster.lan")
        cookie = browser.cookies["__Host-roster_session"]
        assert (await browser.get("/api/jobs")).json() == []
        browser.cookies.clear()

        for name, status in (
            ("__Host-roster_session", 200),
            ("roster_session", 401),
            ("__Secure-roster_session", 401),
        ):
            answer = await browser.get("/api/jobs", headers={"Cookie": f"{name}={cookie}"})
            assert (name, answer.status_code) == (name, status)


async def test_over_http_a_cookie_of_https_does_not_count(browser: httpx.AsyncClient) -> None:
    await fill_in(browser)
    cookie = browser.cookies["roster_session"]
    browser.cookies.clear()

    answer = await browser.get("/api/jobs", headers={"Cookie": f"__Host-roster_session={cookie}"})

    assert answer.status_code == 401


async def test_a_sign_in_does_not_wait_for_uploads_and_downloads(
    app: Starlette, browser: httpx.AsyncClient
) -> None:
    go = threading.Event()
    slots = app.state.slots.downloads
    downloads = [asyncio.create_task(slots.run(f"viewer{n}", n, functools.partial(go.wait, 20))) for n in range(8)]
    for _ in range(HEAVY_AT_ONCE):
        await app.state.heavy.acquire()

    async with asyncio.timeout(20):
        signed_in = await fill_in(browser)

    assert signed_in.status_code == 200
    assert not any(each.done() for each in downloads)
    go.set()
    await asyncio.gather(*downloads)


async def test_a_page_that_needs_a_session_leads_back_to_the_same_place_with_its_query(
    browser: httpx.AsyncClient,
) -> None:
    asked = await browser.get("/jobs/1?status=open&page=2")

    assert asked.headers["location"] == "/sign-in?next=%2Fjobs%2F1%3Fstatus%3Dopen%26page%3D2"
    shown = await browser.get(asked.headers["location"])
    assert 'name="next" value="/jobs/1?status=open&amp;page=2"' in shown.text
    assert "You were signed out" not in shown.text
    await fill_in(browser)
    again = await browser.get(asked.headers["location"])
    assert again.headers["location"] == "/jobs/1?status=open&page=2"


async def test_a_form_that_met_the_end_of_a_session_leads_back_to_its_page_and_never_elsewhere(
    browser: httpx.AsyncClient,
) -> None:
    await fill_in(browser)
    token = (await browser.get("/try")).text
    cookie = browser.cookies["roster_session"]
    await browser.post("/try/out", data={"csrf": token})
    browser.cookies.set("roster_session", cookie)

    for referer, place in (
        ("http://roster.lan/drafts/abc", "/sign-in?next=%2Fdrafts%2Fabc"),
        ("http://roster.lan/jobs/1?status=open", "/sign-in?next=%2Fjobs%2F1%3Fstatus%3Dopen"),
        ("http://evil.example/drafts/abc", "/sign-in"),
        ("", "/sign-in"),
    ):
        answer = await browser.post("/drafts/abc", headers={"Referer": referer} if referer else {})
        assert answer.headers["location"] == place
    assert "You were signed out. Sign in to go on." in (await browser.get("/sign-in")).text
