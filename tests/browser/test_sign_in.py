"""Signing in, and what each role may see and do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

from tests.web_server import PASSWORD, add_user


def sign_in(page: Page, name: str, password: str = PASSWORD) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_a_person_signs_in_reaches_the_requested_page_and_signs_out(open_site: Callable[..., Any]) -> None:
    site = open_site()
    add_user(site.office, "ana", "operator")
    page = site.open("/connections")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    expect(page.get_by_role("navigation", name="Main")).to_have_count(0)

    sign_in(page, "ana", "wrong")
    expect(page.get_by_role("alert")).to_be_visible()
    sign_in(page, "ana")
    expect(page.get_by_role("heading", level=1)).to_have_text("Connections")

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    page.goto(site.url + "/jobs")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    site.ignore_errors("403")


def test_a_viewer_sees_jobs_and_is_offered_no_action(
    open_site: Callable[..., Any], upload: Callable[..., Page], people: Callable[..., Any]
) -> None:
    site = open_site()
    page = upload(site, site.office.roster("seen.csv", [*people(2), {**people(1)[0], "email": "x"}]))
    page.locator("#send").click()
    page.wait_for_url("**/jobs/*")
    expect(page.locator("[data-moving=no]")).to_be_visible(timeout=45_000)
    add_user(site.office, "vera", "viewer")

    page = site.open("/")
    sign_in(page, "vera")
    expect(page.get_by_label("Drag your spreadsheet here")).to_have_count(0)
    expect(page.get_by_text("you need the operator role")).to_be_visible()
    page.goto(site.url + "/jobs/1")
    expect(page.get_by_role("link", name="Report (CSV)")).to_be_visible()
    expect(page.locator(".actions")).to_be_empty()
    page.goto(site.url + "/jobs/1/cancel")
    expect(page.get_by_role("heading", level=1)).to_have_text("Not allowed")
    site.ignore_errors("403")


def test_signing_in_never_leads_to_another_site(open_site: Callable[..., Any]) -> None:
    site = open_site()
    add_user(site.office, "ana", "operator")
    for wanted in ("//evil.example/", "https://evil.example/", "/\\evil.example"):
        page = site.open(f"/sign-in?next={wanted}")
        sign_in(page, "ana")
        expect(page.get_by_role("heading", level=1)).to_have_text("Upload")
        assert page.url == f"{site.url}/"


def test_a_person_changes_their_password_and_signs_out_everywhere(open_site: Callable[..., Any]) -> None:
    site = open_site()
    add_user(site.office, "ana", "viewer")
    page = site.open("/")
    sign_in(page, "ana")
    page.get_by_role("link", name="ana").click()

    page.get_by_label("Current password").fill(PASSWORD)
    page.get_by_label("New password", exact=True).fill("another quiet evening")
    page.get_by_label("New password again").fill("another quiet evening")
    page.get_by_label("Revoke my API tokens too").check()
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_role("status")).to_contain_text("Your password was changed")

    page.get_by_role("button", name="Sign out everywhere").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    sign_in(page, "ana", "another quiet evening")
    expect(page.get_by_role("link", name="ana")).to_be_visible()
