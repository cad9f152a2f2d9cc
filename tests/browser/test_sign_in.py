"""Who may see the page and who may do what, once there are accounts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

from tests.web_server import PASSWORD, add_user


def sign_in(page: Page, name: str, password: str = PASSWORD) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_a_person_signs_in_comes_where_they_wanted_and_signs_out(desk: Callable[..., Any]) -> None:
    here = desk()
    add_user(here.office, "ana", "operator")
    page = here.open("/connections")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    expect(page.get_by_role("navigation", name="Main")).to_have_count(0)

    sign_in(page, "ana", "wrong")
    expect(page.get_by_role("alert")).to_be_visible()
    sign_in(page, "ana")
    expect(page.get_by_role("heading", level=1)).to_have_text("Connections")

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    page.goto("/jobs")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    here.forgive("403")


def test_a_viewer_looks_and_is_offered_nothing_else(
    desk: Callable[..., Any], dropped: Callable[..., Page], people: Callable[..., Any]
) -> None:
    here = desk()
    page = dropped(here, here.office.roster("seen.csv", [*people(2), {**people(1)[0], "email": "x"}]))
    page.locator("#go").click()
    page.wait_for_url("**/jobs/*")
    expect(page.locator("[data-moves=no]")).to_be_visible(timeout=45_000)
    add_user(here.office, "vera", "viewer")

    page = here.open("/")
    sign_in(page, "vera")
    expect(page.get_by_label("Drop your spreadsheet here")).to_have_count(0)
    expect(page.get_by_text("ask for the role operator")).to_be_visible()
    page.goto("/jobs/1")
    expect(page.get_by_role("link", name="Report (CSV)")).to_be_visible()
    expect(page.locator(".acts")).to_be_empty()
    page.goto("/jobs/1/cancel")
    expect(page.get_by_role("heading", level=1)).to_have_text("That is not allowed")
    here.forgive("403")


def test_where_to_go_after_signing_in_is_never_another_site(desk: Callable[..., Any]) -> None:
    here = desk()
    add_user(here.office, "ana", "operator")
    for wanted in ("//evil.example/", "https://evil.example/", "/\\evil.example"):
        page = here.open(f"/sign-in?next={wanted}")
        sign_in(page, "ana")
        expect(page.get_by_role("heading", level=1)).to_have_text("Drop a roster")
        assert page.url == f"{here.url}/"
