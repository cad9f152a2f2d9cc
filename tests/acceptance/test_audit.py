"""The audit log of a running server and of commands: every act and every refusal, with who and from where."""

from __future__ import annotations

import getpass
import re

import pytest

from tests.conftest import wait_until
from tests.web_server import PASSWORD, add_user, problem

LOCAL = "127.0.0.1"


@pytest.fixture
def terminal(office, sandbox):
    terminal = office(sandbox())
    terminal.people("spring.csv", 2)
    return terminal


def audit(terminal):
    """Return the lines of the audit log, oldest first: who, address, act, job."""
    lines = terminal.type("audit", "--json").json
    return [(line["who"], line["address"], line["act"], line["job"]) for line in reversed(lines)]


def acts(terminal):
    return {(who, address, act) for who, address, act, _ in audit(terminal)}


def test_acts_of_the_api_and_downloads_are_recorded_with_the_address(web_server, terminal):
    served = web_server(terminal)
    served.client = served.with_token("oren", "operator")
    job = served.run_to_end(terminal.folder / "spring.csv", save_map="hr")["job"]
    for name in ("results.csv", "results.xlsx"):
        assert served.client.get(f"/api/jobs/{job}/{name}").status_code == 200
    served.client.post(f"/api/jobs/{job}/retry")

    assert [line for line in audit(terminal) if line[0] == "oren"] == [
        ("oren", LOCAL, "save map", None),
        ("oren", LOCAL, "drop", job),
        ("oren", LOCAL, "download", job),
        ("oren", LOCAL, "download", job),
        ("oren", LOCAL, "retry", job),
    ]
    log = served.running.err.read_text("utf-8")
    assert re.search(r"audit.*action=.?download.*actor=.?oren|audit.*actor=.?oren.*action=.?download", log)


def test_acts_of_the_page_are_recorded(web_server, terminal):
    served = web_server(terminal)
    browser, csrf = served.signed_in("oren", "operator")
    with (terminal.folder / "spring.csv").open("rb") as file:
        draft = browser.post("/drafts", files={"csrf": (None, csrf), "file": file}).headers["location"]
    browser.post(f"{draft}/discard", data={"csrf": csrf})
    connection = browser.get("/api/connections").json()[0]["name"]
    browser.post(f"/connections/{connection}/check", data={"csrf": csrf})
    changed = {
        "csrf": csrf,
        "current": PASSWORD,
        "password": "another quiet evening",
        "again": "another quiet evening",
    }
    browser.post("/account/password", data=changed)

    found = [act for who, address, act, _ in audit(terminal) if (who, address) == ("oren", LOCAL)]
    assert found == ["draft upload", "draft discard", "connection check", "user password"]


def test_acts_of_commands_are_recorded_with_the_user_of_the_machine(terminal):
    terminal.type("run", "spring.csv", "--save-map", "hr")
    terminal.type("retry", 1)
    terminal.type("report", 1)
    terminal.type("verify", 1)
    terminal.type("resolve", 1, "--export", "doubt.csv")
    terminal.type("schedule", "add", "nightly", "--cron", "0 2 * * *", "spring.csv")
    terminal.type("schedule", "remove", "nightly")
    terminal.type("cancel", 1)
    terminal.type("purge", "--older-than", "0d", "--yes")
    add_user(terminal, "ana", "viewer")
    terminal.type("user", "token", "ana", "--name", "ci")
    terminal.type("user", "revoke", "ana", "ci")
    terminal.type("user", "sign-out", "ana")
    terminal.type("user", "remove", "ana", "--force")

    lines = audit(terminal)
    assert {(who, address) for who, address, _, _ in lines} == {(f"{getpass.getuser()} (cli)", "cli")}
    found = [act for _, _, act, _ in lines]
    for act in (
        "save map",
        "run",
        "retry",
        "report",
        "verify",
        "resolve export",
        "schedule add",
        "schedule remove",
    ):
        assert act in found
    for act in ("purge", "user add", "user token", "user revoke", "sign out everywhere", "user remove"):
        assert act in found


def test_refusals_are_recorded_with_the_address_behind_a_proxy(web_server, terminal):
    add_user(terminal, "ana", "viewer")
    terminal.environment["ROSTER_SERVE__BEHIND_PROXY"] = LOCAL
    terminal.environment["ROSTER_SERVE__CALLS_PER_MINUTE"] = "10"
    served = web_server(terminal)
    viewer = served.with_token("vera", "viewer")
    viewer.headers["X-Forwarded-For"] = "192.0.2.1"
    stranger = served.client_with(**{"X-Forwarded-For": "192.0.2.2"})
    page = stranger.get("/sign-in").text
    csrf = re.search(r'name="csrf" value="(\w+)"', page)[1]

    problem(viewer.post("/api/jobs/1/cancel"), 403)
    for password in ("wrong",) * 5 + (PASSWORD,):
        stranger.post("/sign-in", data={"csrf": csrf, "name": "ana", "password": password})
    stranger.post("/sign-in", data={"csrf": "forged", "name": "ana", "password": PASSWORD})
    stranger.headers["Authorization"] = "Bearer roster_guessed"
    for _ in range(12):
        stranger.get("/api/jobs")
    served.running.interrupt()
    wait_until(lambda: served.running.is_over, "the end of the server")

    assert {
        ("vera", "192.0.2.1", "role refused"),
        ("ana", "192.0.2.2", "sign-in refused"),
        ("ana", "192.0.2.2", "sign-in locked"),
        ("-", "192.0.2.2", "form refused"),
        ("-", "192.0.2.2", "token refused"),
        ("-", "192.0.2.2", "too many requests"),
    } <= acts(terminal)
    counts = {line["act"]: line["count"] for line in terminal.type("audit", "--json").json}
    assert counts["sign-in refused"] == 5
    assert counts["token refused"] == 10
    assert "(5 times)" in terminal.type("audit").out


def test_a_webhook_with_a_wrong_signature_is_recorded(web_server, office, sandbox):
    terminal = office(sandbox(), webhook_secret="env:WEBHOOK_SECRET")
    terminal.environment["WEBHOOK_SECRET"] = "wh_a-secret-of-the-office"
    served = web_server(terminal)

    forged = {"Webhook-Verb": "RegistrationCreated", "Webhook-Signature": "0" * 64}
    problem(served.client.post("/hooks/north", content=b"{}", headers=forged), 401)

    (line,) = terminal.type("audit", "--json").json
    assert (line["act"], line["address"], line["detail"]) == ("webhook refused", LOCAL, "north")
