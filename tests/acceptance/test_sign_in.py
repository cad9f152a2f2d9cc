"""Access to the web server: anonymous callers, viewers, operators, other sites, password guessing."""

from __future__ import annotations

import re
import socket
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

import httpx
import pytest

from tests.web_server import PASSWORD, add_user, problem

CHANGES = [f"/api/jobs/1/{act}" for act in ("pause", "resume", "cancel", "retry", "undo")]
CHANGES += ["/api/jobs", "/api/jobs/1/rows/2/resolve"]
READS = ["/api/jobs", "/api/jobs/1", "/api/jobs/1/events", "/api/jobs/1/results.csv", "/api/jobs/1/results.xlsx"]
READS += ["/api/jobs/1/failed.csv", "/api/jobs/1/summary.json", "/api/connections", "/api/openapi.json", "/metrics"]


@pytest.fixture
def terminal(office, sandbox):
    terminal = office(sandbox())
    terminal.people("spring.csv", 2)
    return terminal


# Without accounts


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])  # noqa: S104 - that it is refused
def test_without_an_account_only_this_machine_is_served(terminal, host):
    result = terminal.type("serve", "--host", host)

    assert result.code == 2
    assert "roster user add" in result.err
    assert host in result.err


def test_without_an_account_nothing_is_served_behind_a_proxy(terminal):
    terminal.environment["ROSTER_SERVE__BEHIND_PROXY"] = "127.0.0.1"

    result = terminal.type("serve")

    assert result.code == 2
    assert "roster user add" in result.err


def test_without_an_account_nothing_is_served_under_a_public_address(terminal):
    for address in ("https://roster.example.com", "http://192.0.2.1:8000", "http://roster.lan/"):
        terminal.environment["ROSTER_SERVE__PUBLIC_URL"] = address

        result = terminal.type("serve")

        assert result.code == 2
        assert "roster user add" in result.err
        assert address.rstrip("/") in result.err


def test_it_prints_one_address_with_a_token(web_server, terminal):
    served = web_server(terminal)

    said = served.running.err.read_text("utf-8")
    assert "There is no account: only this machine is served" in said
    assert re.search(
        rf"^Roster is at {re.escape(served.url)}/\?token=[\w-]{{43}} \(press Ctrl-C", said, re.MULTILINE
    )
    assert served.url.startswith("http://127.0.0.1:")


def test_without_the_token_nobody_is_served_and_told_where_it_is(web_server, terminal):
    served = web_server(terminal)
    stranger = served.client_with()

    for path in READS:
        assert "`roster serve` printed" in problem(stranger.get(path), 401), path
    for path in CHANGES:
        problem(stranger.post(path), 401)
    for path in ("/", "/jobs", "/sign-in", "/?token=wrong", "/jobs?token="):
        page = stranger.get(path)
        assert page.status_code == 401, path
        assert "Open the address that “roster serve” printed" in page.text
    page = stranger.post("/sign-in", data={"name": "ana", "password": PASSWORD})
    assert (page.status_code, "Open the address" in page.text) == (401, True)
    assert stranger.get("/healthz").json() == {"ledger": "ok"}
    problem(served.client_with(Authorization="Bearer wrong").get("/api/jobs"), 401)


def test_the_token_moves_from_the_address_into_a_cookie(web_server, terminal):
    served = web_server(terminal)
    browser = served.client_with()

    moved = browser.get(f"/jobs?page=a%20b&token={served.token}&state=")

    assert moved.status_code == 303
    assert moved.headers["location"] == "/jobs?page=a%20b&state="
    cookie = next(each for each in moved.headers.get_list("set-cookie") if each.startswith("roster_local_"))
    assert "HttpOnly; SameSite=Lax" in cookie
    assert served.token not in cookie
    assert browser.get("/jobs").status_code == 200
    assert browser.get("/api/jobs").json() == []
    assert served.upload(terminal.folder / "spring.csv", browser).status_code == 202
    with closing(HTTPConnection(urlsplit(served.url).netloc)) as elsewhere:
        elsewhere.request("GET", f"//evil.example/?token={served.token}")
        assert elsewhere.getresponse().headers["location"] == "/evil.example/"


def test_the_token_is_taken_from_no_form_and_ends_with_the_server(web_server, terminal):
    served = web_server(terminal)
    problem(served.client_with().post(f"/api/jobs/1/pause?token={served.token}"), 401)
    served.close()

    again = web_server(terminal)

    assert again.token != served.token
    problem(again.client_with(Authorization=f"Bearer {served.token}").get("/api/jobs"), 401)


def test_scripts_can_fix_the_token(web_server, terminal):
    terminal.environment["ROSTER_TOKEN"] = "a-token-for-scripts"
    served = web_server(terminal)

    assert served.token == "a-token-for-scripts"
    script = served.client_with(Authorization="Bearer a-token-for-scripts")
    assert served.upload(terminal.folder / "spring.csv", script).status_code == 202
    assert "Warning" not in served.running.err.read_text("utf-8")
    assert "ROSTER_TOKEN" not in terminal.type("doctor").out


def test_a_token_that_no_header_can_carry_is_refused(terminal):
    for token in ("two words", "Ärger", "x" * 201):
        terminal.environment["ROSTER_TOKEN"] = token

        result = terminal.type("serve")

        assert result.code == 2
        assert "ROSTER_TOKEN must be" in result.err
        assert token not in result.err


def test_a_short_token_of_a_script_is_accepted_with_a_warning(web_server, terminal):
    terminal.environment["ROSTER_TOKEN"] = "short"
    served = web_server(terminal)

    assert "ROSTER_TOKEN is short" in served.running.err.read_text("utf-8")


def test_the_token_is_in_no_log_but_the_printed_address(web_server, terminal):
    served = web_server(terminal)
    browser = served.local_browser()
    for path in (f"/nothing?token={served.token}", f"/api/jobs/999?token={served.token}"):
        browser.get(path)

    said = served.running.err.read_text("utf-8") + served.running.out.read_text("utf-8")
    assert said.count(served.token) == 1
    assert [
        path
        for path in terminal.folder.rglob("*")
        if path.is_file() and path.suffix != ".err" and served.token.encode() in path.read_bytes()
    ] == []


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://[half"},
    {"Origin": "http://127.0.0.1:1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
]


def test_a_request_from_a_page_of_another_site_is_refused(web_server, terminal):
    served = web_server(terminal)

    for headers in FOREIGN:
        foreign = served.local_browser(**headers)
        problem(served.upload(terminal.folder / "spring.csv", foreign), 403)
        problem(foreign.post("/api/jobs/1/pause"), 403)

    assert served.client.get("/api/jobs").json() == []


PROXY_HEADERS = [
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-Server",
    "X-Forwarded",
    "Forwarded",
    "Forwarded-For",
    "Via",
    "X-Real-IP",
    "Client-IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "True-Client-IP",
    "Fastly-Client-IP",
    "WL-Proxy-Client-IP",
    "X_Forwarded_For",
    "X-Ms-Client-Ip-Address",
    "X-Edge-IP",
    "X-BlueCoat-Via",
    "CF-Connecting-IP",
    "CF-Ray",
    "CF-Visitor",
    "CDN-Loop",
    "X-Original-Host",
    "X-Original-URL",
    "X-Original-Forwarded-For",
    "X-Envoy-External-Address",
    "X-Envoy-Internal",
    "X-Azure-ClientIP",
    "X-Amzn-Trace-Id",
    "X-Appengine-User-IP",
    "X-ProxyUser-Ip",
    "X-Remote-Addr",
    "X-Originating-IP",
    "X-ARR-LOG-ID",
    "Max-Forwards",
    "Fly-Client-IP",
    "Proxy-Connection",
    "X-Rewrite-URL",
    "x-forwarded-prefix",
]


def raw_request(served, *lines):
    """Send a request as it is written and return its status."""
    where = urlsplit(served.url)
    with socket.create_connection((where.hostname, where.port), 30) as connection:
        head = [*lines, f"Authorization: Bearer {served.token}"]
        connection.sendall("".join(f"{line}\r\n" for line in [*head, ""]).encode())
        return int(connection.makefile("rb").readline().split()[1])


def test_the_protocol_that_proxies_speak_by_default_is_refused(web_server, terminal):
    served = web_server(terminal)
    host = f"Host: {urlsplit(served.url).netloc}"

    assert raw_request(served, "GET /api/jobs HTTP/1.1", host, "Connection: close") == 200
    assert raw_request(served, "GET /api/jobs HTTP/1.0", host, "Connection: close") == 403
    assert raw_request(served, "GET / HTTP/1.0", host) == 403
    assert raw_request(served, "GET /healthz HTTP/1.0", host) == 200


def test_when_the_last_account_goes_nobody_is_served_until_a_restart(web_server, terminal):
    add_user(terminal, "ana", "viewer")
    served = web_server(terminal)
    assert served.token == ""
    problem(served.client.get("/api/jobs"), 401)

    refused = terminal.type("user", "remove", "ana")
    assert refused.code == 2
    assert "last account" in refused.err
    assert "--force" in refused.err
    problem(served.client.get("/api/jobs"), 401)
    removed = terminal.type("user", "remove", "ana", "--force")
    assert removed.code == 0
    assert "restarted" in removed.err

    for path in READS:
        assert "restart" in problem(served.client.get(path), 403), path
    page = served.client.get("/")
    assert (page.status_code, "restart" in page.text) == (403, True)
    assert served.client.get("/healthz").status_code == 200
    assert web_server(terminal).client.get("/api/jobs").status_code == 200


def test_the_token_is_not_valid_again_when_the_accounts_are_gone(web_server, terminal):
    served = web_server(terminal)
    account = served.with_token("ana", "viewer")
    assert account.get("/api/jobs").status_code == 200

    assert terminal.type("user", "remove", "ana", "--force").code == 0

    assert "restart" in problem(served.client.get("/api/jobs"), 403)


def test_a_foreign_host_name_and_a_proxy_are_refused(web_server, terminal):
    served = web_server(terminal)

    for host in (
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:8000",
        "evil.example:80@127.0.0.1",
    ):
        problem(served.client.get("/api/jobs", headers={"Host": host}), 421)
    for header in PROXY_HEADERS:
        problem(served.client.get("/api/jobs", headers={header: "127.0.0.1"}), 403)
    for host in ("localhost", "localhost:8000", "127.0.0.1", "[::1]:8000", "roster.localhost"):
        assert served.client.get("/api/jobs", headers={"Host": host}).status_code == 200


def test_after_the_first_account_everyone_must_sign_in(web_server, terminal):
    served = web_server(terminal)
    assert served.client.get("/api/jobs").status_code == 200

    add_user(terminal, "ana", "viewer")

    assert "API token" in problem(served.client.get("/api/jobs"), 401)
    assert served.client_with().get(served.address).headers["location"] == "/sign-in"


# Accounts


def test_an_anonymous_caller_learns_only_that_the_server_is_up(web_server, terminal):
    served = web_server(terminal)
    served.run_to_end(terminal.folder / "spring.csv")
    add_user(terminal, "ana", "viewer")

    for path in READS:
        answer = served.client.get(path)
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"] == "Bearer"
    for path in CHANGES:
        assert served.client.post(path).status_code == 401, path
    assert served.client.get("/healthz").json() == {"ledger": "ok"}


FORGED = [
    {"Authorization": "Bearer roster_guessed"},
    {"Authorization": "Bearer"},
    {"Authorization": f"Bearer {'x' * 5000}"},
    {"Authorization": "Basic YW5hOnBhc3N3b3Jk"},
    {"Cookie": "roster_session=forged"},
    {"Cookie": f"roster_session={'0' * 64}; roster_visitor=x"},
    {"Cookie": 'roster_session=""'},
]


def test_a_forged_token_or_cookie_is_anonymous(web_server, terminal):
    served = web_server(terminal)
    add_user(terminal, "ana", "admin")

    for headers in FORGED:
        forged = served.client_with(**headers)
        problem(forged.get("/api/jobs"), 401)
        problem(served.upload(terminal.folder / "spring.csv", forged), 401)


def test_a_viewer_reads_and_an_operator_acts(web_server, terminal):
    served = web_server(terminal)
    viewer, operator = served.with_token("vera", "viewer"), served.with_token("oren", "operator")
    served.client = operator
    job = served.run_to_end(terminal.folder / "spring.csv")["job"]
    assert job == 1

    for path in READS:
        assert viewer.get(path).status_code in {200, 404}, path
    for path in CHANGES:
        assert problem(viewer.post(path), 403) == "You need the operator role. Your role: viewer"
    assert operator.post("/api/jobs/1/retry").status_code == 200


def test_every_action_is_recorded_in_the_audit_log(web_server, terminal):
    served = web_server(terminal)
    served.client = served.with_token("oren", "operator")
    job = served.run_to_end(terminal.folder / "spring.csv")["job"]
    served.client.post(f"/api/jobs/{job}/retry")
    served.until(job, "succeeded")
    problem(served.client.post(f"/api/jobs/{job}/undo"), 409)

    lines = terminal.type("audit", "--json").json

    acts = [(line["act"], line["job"]) for line in lines if line["who"] == "oren"]
    assert acts == [("retry", job), ("drop", job)]
    assert [line["act"] for line in lines if line["who"] != "oren"] == ["user token", "user add"]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", line["at"]) for line in lines)
    assert "oren" in terminal.type("audit", "--job", job).out


def test_a_token_ends_with_its_account_and_when_it_is_revoked(web_server, terminal):
    served = web_server(terminal)
    kept, revoked, removed = (served.with_token(name, "viewer") for name in ("ana", "bea", "cem"))
    assert [each.get("/api/jobs").status_code for each in (kept, revoked, removed)] == [200, 200, 200]

    assert "1 token revoked" in terminal.type("user", "token", "bea", "--revoke").err
    terminal.type("user", "remove", "cem")

    assert [each.get("/api/jobs").status_code for each in (kept, revoked, removed)] == [200, 401, 401]
    assert terminal.type("user", "role", "ana", "operator").code == 0
    assert terminal.type("user", "list", "--json").json == [
        {"name": "ana", "role": "operator", "tokens": 1},
        {"name": "bea", "role": "viewer", "tokens": 0},
    ]


# Forms


def test_changes_in_a_session_need_its_csrf_token(web_server, terminal):
    served = web_server(terminal)
    browser, token = served.signed_in("oren", "operator")
    _, others = served.signed_in("ana", "operator")
    roster = terminal.folder / "spring.csv"

    assert browser.get("/api/jobs").json() == []
    for headers in ({}, {"X-CSRF-Token": others}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "é"}):
        raw = {name: value.encode() for name, value in headers.items()}
        problem(browser.post("/api/jobs/1/pause", headers=raw), 403)
    problem(served.upload(roster, browser), 403)
    problem(served.upload(roster, browser, csrf=others), 403)
    foreign = {"X-CSRF-Token": token, "Origin": "https://evil.example"}
    problem(browser.post("/api/jobs/1/pause", headers=foreign), 403)
    assert browser.get("/api/jobs").json() == []

    assert served.upload(roster, browser, csrf=token).status_code == 202
    with roster.open("rb") as file:
        by_header = browser.post(
            "/api/jobs", files={"file": file}, headers={"X-CSRF-Token": token, "Origin": served.url}
        )
    assert by_header.status_code == 202


def test_a_csrf_token_after_the_file_is_too_late(web_server, terminal):
    served = web_server(terminal)
    browser, token = served.signed_in("oren", "operator")
    parts = [("file", ("a.csv", b"email\n", "text/csv")), ("csrf", (None, token))]

    problem(browser.post("/api/jobs", files=parts), 403)

    assert list((terminal.folder / "roster-files").rglob("*.csv")) == []


def test_a_session_ends_with_a_new_password_and_when_it_is_not_used(web_server, terminal):
    terminal.environment["ROSTER_SERVE__SESSION_HOURS"] = "0.0000001"
    idle = web_server(terminal)
    browser, _ = idle.signed_in("ana", "viewer")
    problem(browser.get("/api/jobs"), 401)
    del terminal.environment["ROSTER_SERVE__SESSION_HOURS"]
    served = web_server(terminal)
    other, _ = served.signed_in("bea", "viewer")
    assert other.get("/api/jobs").status_code == 200

    terminal.write("password", "another quiet evening")
    assert terminal.type("user", "password", "bea", stdin="password").code == 0

    problem(other.get("/api/jobs"), 401)


# Headers, limits, metrics


def test_every_response_has_security_headers(web_server, terminal):
    served = web_server(terminal)

    for path in ("/api/jobs", "/api/nothing", "/healthz", "/", "/nothing", "/metrics"):
        headers = served.client.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers
        assert "strict-transport-security" not in headers


def test_behind_an_https_proxy_browsers_must_keep_to_https(web_server, terminal):
    add_user(terminal, "ana", "viewer")
    terminal.environment["ROSTER_SERVE__BEHIND_PROXY"] = "127.0.0.1"
    served = web_server(terminal)

    answer = served.client.get("/", headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"})

    assert "max-age" in answer.headers["strict-transport-security"]
    assert "; Secure" in answer.headers["set-cookie"]
    assert "HttpOnly; SameSite=Lax" in answer.headers["set-cookie"]
    assert "; Secure" not in served.client.get("/").headers["set-cookie"]


def test_too_many_requests_are_refused_with_the_time_to_retry(web_server, terminal):
    terminal.environment["ROSTER_SERVE__CALLS_PER_MINUTE"] = "10"
    served = web_server(terminal)

    answers = [served.client.get("/api/connections") for _ in range(12)]

    assert [each.status_code for each in answers[:10]] == [200] * 10
    refused = answers[-1]
    assert "retry in" in problem(refused, 429)
    assert int(refused.headers["retry-after"]) >= 1
    assert served.client.get("/healthz").status_code == 200


def test_metrics_can_be_opened_to_anonymous_callers(web_server, terminal):
    add_user(terminal, "ana", "viewer")
    terminal.environment["ROSTER_SERVE__OPEN_METRICS"] = "true"
    served = web_server(terminal)

    assert "roster_ledger_up 1.0" in served.client.get("/metrics").text
    problem(served.client.get("/api/jobs"), 401)


def test_with_an_account_other_machines_may_be_served(web_server, terminal):
    add_user(terminal, "ana", "viewer")
    served = web_server(terminal, "--host", "0.0.0.0")  # noqa: S104 - that it may

    answer = httpx.get(served.url.replace("0.0.0.0", "127.0.0.1") + "/api/jobs", headers={"Host": "roster.lan"})  # noqa: S104

    assert answer.status_code == 401


# `roster user`


@pytest.mark.parametrize(
    ("name", "password", "expected"),
    [
        ("ana", "too short", "at least 12 characters"),
        ("ana", "aaaaaaaaaaaaaaaaaaaa", "repeats the same few"),
        ("ana", "", "No password"),
        ("-", PASSWORD, "is not a valid account name"),
        ("a\nb", PASSWORD, "is not a valid account name"),
    ],
)
def test_a_weak_password_or_an_invalid_name_is_refused(terminal, name, password, expected):
    terminal.write("password", password)

    result = terminal.type("user", "add", "--", name, stdin="password")

    assert result.code == 2
    assert expected in result.err
    assert terminal.type("user", "list", "--json").json == []


def test_account_names_are_unique_in_any_letter_case(terminal):
    add_user(terminal, "ana", "viewer")
    terminal.write("password", PASSWORD)

    result = terminal.type("user", "add", "ANA", stdin="password")

    assert result.code == 2
    assert "already" in result.err
    assert "the accounts are: ana" in terminal.type("user", "remove", "bea").err
