"""One's own account on the page: the password, the sessions, the tokens."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.builders import open_ledger
from worker.accounts import guessing, keys, people
from worker.bootstrap import Services
from worker.ledger.transactions import Ledger
from worker.model import Actor, Role
from worker.settings import Settings
from worker.web.app import make_app
from worker.web.csrf import token_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from starlette.applications import Starlette

OLD, NEW = "a long and quiet evening", "another quiet evening"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(tmp_path)
    people.add(opened, name="Ärger", password=OLD, role=Role.VIEWER, by=Actor(name="-"))
    yield opened
    opened.close()


@pytest.fixture
def app(ledger: Ledger, tmp_path: Path) -> Starlette:
    return make_app(Services(settings=Settings(files=str(tmp_path)), ledger=ledger, owner="a/1/1"))


@asynccontextmanager
async def signed_in(app: Starlette, ledger: Ledger) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    """Open a browser with a session, and return the token of its forms."""
    session = people.sign_in(ledger, "ärger", OLD, "192.0.2.1").session
    transport = httpx.ASGITransport(app=app, client=("192.0.2.1", 1))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://roster.lan", cookies={"roster_session": session}
    ) as browser:
        yield browser, token_of(session)


def form(csrf: str, current: str = OLD, password: str = NEW, again: str = NEW, **more: str) -> dict[str, str]:
    return {"csrf": csrf, "current": current, "password": password, "again": again, **more}


async def status(browser: httpx.AsyncClient) -> int:
    return (await browser.get("/api/jobs")).status_code


async def test_a_new_password_ends_the_other_sessions_and_keeps_the_tokens(app: Starlette, ledger: Ledger) -> None:
    token = people.make_token(ledger, "ärger", "ci", by=Actor(name="-"))
    async with signed_in(app, ledger) as (other, _), signed_in(app, ledger) as (browser, csrf):
        changed = await browser.post("/account/password", data=form(csrf))

        assert changed.headers["location"] == "/account"
        shown = await browser.get("/account")
        assert "Your password was changed" in shown.text
        assert "ci: created" in shown.text
        assert await status(other) == 401
    assert keys.owner_of_token(ledger, token) is not None
    assert people.sign_in(ledger, "ärger", NEW, "192.0.2.2")


async def test_a_new_password_revokes_the_tokens_when_asked(app: Starlette, ledger: Ledger) -> None:
    token = people.make_token(ledger, "ärger", "ci", by=Actor(name="-"))
    async with signed_in(app, ledger) as (browser, csrf):
        assert (await browser.post("/account/password", data=form(csrf, revoke="true"))).status_code == 303

    assert keys.owner_of_token(ledger, token) is None


@pytest.mark.parametrize(
    ("typed", "expected", "code"),
    [
        ({"current": "wrong"}, "The current password is not right", 403),
        ({"again": OLD}, "The two new passwords differ", 422),
        ({"password": "ärger1234567", "again": "ärger1234567"}, "easy to guess", 422),
        ({"password": "short", "again": "short"}, "at least 12 characters", 422),
    ],
)
async def test_a_wrong_or_weak_password_changes_nothing(
    app: Starlette, ledger: Ledger, typed: dict[str, str], expected: str, code: int
) -> None:
    async with signed_in(app, ledger) as (browser, csrf):
        refused = await browser.post("/account/password", data={**form(csrf), **typed})

        assert refused.status_code == code
        assert expected in refused.text
        assert await status(browser) == 200
    assert people.sign_in(ledger, "ärger", OLD, "192.0.2.2")


async def test_a_stolen_session_cannot_guess_the_password(app: Starlette, ledger: Ledger) -> None:
    async with signed_in(app, ledger) as (browser, csrf):
        for _ in range(guessing.FREE_FAILURES):
            await browser.post("/account/password", data=form(csrf, current="wrong"))
        locked = await browser.post("/account/password", data=form(csrf))

        assert locked.status_code == 429
        assert 0 < int(locked.headers["retry-after"]) <= guessing.FIRST_WAIT_SECONDS
    assert people.sign_in(ledger, "ärger", OLD, "192.0.2.1"), "signing in was locked too"


async def test_another_site_and_a_token_change_no_password(app: Starlette, ledger: Ledger) -> None:
    token = people.make_token(ledger, "ärger", "ci", by=Actor(name="-"))
    async with signed_in(app, ledger) as (browser, csrf):
        without = await browser.post("/account/password", data=form("guessed"))
        foreign = await browser.post(
            "/account/password", data=form(csrf), headers={"Origin": "https://evil.example"}
        )
        browser.cookies.clear()
        by_token = await browser.post(
            "/account/password", data=form(csrf), headers={"Authorization": f"Bearer {token}"}
        )

        assert [each.status_code for each in (without, foreign, by_token)] == [403] * 3
    assert people.sign_in(ledger, "ärger", OLD, "192.0.2.2")


async def test_signing_out_everywhere_ends_all_sessions(app: Starlette, ledger: Ledger) -> None:
    async with signed_in(app, ledger) as (other, _), signed_in(app, ledger) as (browser, csrf):
        left = await browser.post("/account/sign-out", data={"csrf": csrf})

        assert left.headers["location"] == "/sign-in"
        assert [await status(each) for each in (other, browser)] == [401, 401]
