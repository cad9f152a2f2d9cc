"""Tahdah's signed webhooks, sent by the sandbox over a socket to a real `roster serve`.

The signature is documented; the body is the sandbox's guess. So a body that is not understood must do nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest

from tests.conftest import wait_until
from tests.servers import free_port
from tests.web_server import add_user, problem

SECRET = "wh_a-secret-of-the-office"
CREATED = "RegistrationCreated"


@pytest.fixture
def open_webhooks(sandbox, office, web_server):
    """Open a sandbox that sends webhooks of its registrations to a served office."""

    def start(*bad_days, lookup="404", **options):
        lms = sandbox(bad_days=bad_days, lookup=lookup)
        terminal = office(lms, **{"webhook_secret": "env:WEBHOOK_SECRET", "lookup_pauses": [0.05], **options})
        terminal.environment |= {"WEBHOOK_SECRET": SECRET, "ROSTER_SWEEP_SECONDS": "0.2"}
        served = web_server(terminal)
        lms.world.tahdah.announcer.url = f"{served.url}/hooks/north"
        lms.world.tahdah.announcer.secret = SECRET
        return lms, terminal, served

    return start


def sign(body, secret=SECRET):
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def post(served, body, *, verb=CREATED, signature=None, name="north", **headers):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    signed = {"Webhook-Verb": verb, "Webhook-Signature": sign(raw) if signature is None else signature}
    return served.client.post(f"/hooks/{name}", content=raw, headers=signed | headers)


def outcomes(served):
    """Return the outcomes of the webhooks, from the metrics."""
    lines = served.client.get("/metrics").text.splitlines()
    found = [line.rpartition(" ") for line in lines if line.startswith("roster_webhooks{")]
    return {name.partition('fate="')[2].partition('"')[0]: int(float(count)) for name, _, count in found}


def test_a_lost_batch_without_a_look_up_is_resolved_by_webhooks(open_webhooks):
    lms, terminal, served = open_webhooks("register:lost-after:first=2")
    uploaded = served.run_to_end(terminal.people("roster.csv", 4), connection="north")
    job = uploaded["job"]

    wait_until(lambda: served.job(job)["by_status"]["registered"] == 4, "the batch to be resolved")

    summary = served.until(job, "succeeded")
    assert summary["verified"] == {"confirmed": 4, "differs": 0, "cannot_be_verified": 0}
    assert lms.changes == {"create_candidate": 4, "register": 2}
    report = terminal.balanced(terminal.type("report", job, "--json"))
    assert {row["_registration_id"] for row in report.rows} == set(lms.standing.values())
    assert not any(row["_error"] for row in report.rows)


def test_a_registration_is_confirmed_and_nothing_else_changes(open_webhooks):
    lms, terminal, served = open_webhooks()
    job = served.run_to_end(terminal.people("roster.csv", 3), connection="north")["job"]

    wait_until(lambda: (served.job(job)["verified"] or {}).get("confirmed") == 3, "the confirmation")

    assert served.job(job)["state"] == "succeeded"
    assert outcomes(served) == {"confirmed": 3}
    assert lms.changes == {"create_candidate": 3, "register": 2}


def test_a_repeated_webhook_counts_once(open_webhooks):
    lms, terminal, served = open_webhooks()
    lms.world.tahdah.announcer.url = ""
    job = served.run_to_end(terminal.people("roster.csv", 1), connection="north")["job"]
    (there,) = lms.look("registrations")
    body = {"legalEntityId": 42, "experienceId": "58", "candidateId": there["candidate_id"]}

    assert [post(served, body).status_code for _ in range(3)] == [200, 200, 200]

    wait_until(lambda: served.job(job)["verified"], "the confirmation")
    assert outcomes(served) == {"confirmed": 1}


def test_only_webhooks_signed_with_the_secret_are_accepted(open_webhooks):
    lms, terminal, served = open_webhooks("register:lost-after:nth=1")
    lms.world.tahdah.announcer.url = ""
    job = served.run_to_end(terminal.people("roster.csv", 1), connection="north")["job"]
    (there,) = lms.look("registrations")
    body = {"legalEntityId": 42, "experienceId": 58, "candidateId": there["candidate_id"]}
    raw = json.dumps(body).encode()

    assert "signature" in problem(post(served, body, signature=""), 401)
    for wrong in (sign(raw, "wh_another"), sign(raw).upper(), sign(raw + b" "), "é" * 64):
        problem(post(served, raw, signature=wrong.encode()), 401)
    assert "webhook_secret" in problem(post(served, body, name="south"), 404)
    assert "bytes" in problem(post(served, b"{" + b" " * 300_000), 413)
    assert served.client.get("/hooks/north").status_code == 405
    assert outcomes(served) == {}
    assert served.job(job)["by_status"]["in_doubt"] == 1


def test_a_connection_without_a_secret_accepts_none(open_webhooks):
    _, _, served = open_webhooks(webhook_secret=None)

    assert "webhook_secret" in problem(post(served, {}), 404)


def test_with_sign_in_the_signature_is_enough_and_no_browser_protection_applies(open_webhooks):
    _, terminal, served = open_webhooks()
    add_user(terminal, "ada", "admin")

    answer = post(served, {}, Origin="https://api.tahdah.me")

    assert (answer.status_code, answer.json()) == (200, {"received": True})
    assert served.client.get("/api/jobs").status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        b"no json at all",
        b"\xff\xfe",
        b"[" * 5_000,
        [],
        {"candidateId": "{candidate}"},
        {"experienceId": 58},
        {"candidateId": "{candidate}", "experienceId": 59},
        {"candidateId": "{candidate}", "experienceId": 58, "legalEntityId": 43},
        {"candidateId": "{candidate}", "experienceId": 58, "learningExperienceId": 59},
        {"candidateId": "{candidate}", "experienceId": 58, "candidate": {"candidateId": 7}},
        {"candidateId": ["{candidate}"], "experienceId": 58},
        {"person": "{candidate}", "course": 58},
    ],
)
def test_an_ambiguous_body_resolves_nothing(open_webhooks, body):
    lms, terminal, served = open_webhooks("register:lost-after:nth=1")
    lms.world.tahdah.announcer.url = ""
    job = served.run_to_end(terminal.people("roster.csv", 1), connection="north")["job"]
    (there,) = lms.look("registrations")
    raw = (
        body if isinstance(body, bytes) else json.dumps(body).replace("{candidate}", there["candidate_id"]).encode()
    )

    assert post(served, raw).status_code == 200
    good = {"candidateId": there["candidate_id"], "experienceId": 58}
    assert post(served, good, verb="CandidateDeleted").status_code == 200
    wait_until(lambda: sum(outcomes(served).values()) == 2, "both to be counted")

    assert served.job(job)["by_status"]["in_doubt"] == 1
    assert "settled" not in outcomes(served)
    assert lms.changes == {"create_candidate": 1, "register": 1}


def test_the_sandbox_sends_webhooks_to_the_configured_address(office, web_server):
    """By the options of the command, as a person would type them."""
    port = free_port()
    terminal = office()
    terminal.connect(f"http://127.0.0.1:{port}", "north", webhook_secret="env:WEBHOOK_SECRET")
    terminal.environment["WEBHOOK_SECRET"] = SECRET
    served = web_server(terminal)
    hook = ["--webhook", f"{served.url}/hooks/north", "--webhook-secret", SECRET]
    sandbox = terminal.start("sandbox", "--port", port, *hook)
    wait_until(lambda: "sandbox is up" in sandbox.out.read_text("utf-8"), "the sandbox")

    job = served.run_to_end(terminal.people("roster.csv", 2), connection="north")["job"]

    wait_until(lambda: (served.job(job)["verified"] or {}).get("confirmed") == 2, "the confirmation")
    sandbox.interrupt()
    assert sandbox.over_within(20)


def test_no_body_is_stored_or_logged(open_webhooks):
    _, terminal, served = open_webhooks()

    post(served, {"candidateId": 7, "experienceId": 58, "email": "wilhelmina@example.com", "name": "Achterberg"})

    output = served.running.err.read_text("utf-8") + served.client.get("/metrics").text
    kept = (terminal.folder / "roster.db").read_bytes() + b"".join(
        path.read_bytes() for path in terminal.folder.glob("roster.db-*")
    )
    for personal in ("wilhelmina@example.com", "Achterberg"):
        assert personal not in output
        assert personal.encode() not in kept
