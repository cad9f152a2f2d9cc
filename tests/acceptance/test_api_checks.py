"""The API checks a roster before it is sent, and a job afterwards; it changes nothing at the LMS."""

from __future__ import annotations

import asyncio
import csv
import io
import socket
from contextlib import suppress
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from tests.builders import raw_connection
from tests.conftest import wait_until
from tests.web_server import problem
from worker.bootstrap import open_services
from worker.diagnostics import check_connection
from worker.jobs.learning import learn_limits
from worker.jobs.time_limits import TimeLimits
from worker.lms import read_connection
from worker.web import schemas
from worker.web.app import make_app
from worker.web.local_access import LocalAccess

TOKEN = "a-token-of-this-machine"
#: Less than the server waits for an LMS that does not answer (seconds).
SOON = 25.0
#: No more pauses than a verification needs here.
SHORT_PAUSES = [0.05]


@pytest.fixture
def served(web_server, terminal):
    return web_server(terminal)


def check(served, roster, **fields):
    with roster.open("rb") as file:
        return served.client.post("/api/check", files={"file": (roster.name, file)}, data=fields)


def audit(terminal, act):
    return [each for each in terminal.type("audit", "--json").json if each["act"] == act]


def test_a_roster_is_checked_as_by_the_command_and_nothing_is_sent(served, terminal, lms, people):
    roster = terminal.roster("mixed.csv", [*people(3), *people(1), {**people(1, first=9)[0], "email": "nobody"}])
    typed = terminal.type("check", "mixed.csv", "--json", "--course", "58").json

    answer = check(served, roster, course="58")

    assert answer.status_code == 200, answer.text
    checked = answer.json()
    schemas.Check.model_validate(checked)
    assert (checked["would_send"], checked["job"], checked["reports"]) == (3, None, [])
    assert [each["code"] for each in checked["problems"]] == ["invalid_email"]
    assert checked | {"warnings": []} == typed | {"warnings": []}
    assert (lms.calls(), terminal.jobs()) == (0, [])
    assert list((terminal.folder / "roster-files" / "uploads").iterdir()) == []
    assert [each["detail"] for each in audit(terminal, "check")] == ["to north"]


def test_what_is_wrong_with_a_roster_is_said_in_words_of_fields_and_a_viewer_may_not(served, terminal, samples):
    refused = [
        problem(check(served, samples / "wrong_headings.xlsx"), 422),
        problem(check(served, terminal.people("good.csv", 1), cuorse="58"), 422),
        problem(check(served, terminal.people("good.csv", 1), connection="nowhere"), 422),
        problem(check(served, terminal.people("good.csv", 1), course="fire"), 422),
    ]

    assert "`map`" in refused[0]
    assert "There is no field 'cuorse'" in refused[1]
    assert not [text for text in refused if "--" in text or "roster check" in text]
    assert problem(served.client.post("/api/check", json={}), 415)

    viewer = served.with_token("vic", "viewer")
    with terminal.people("good.csv", 1).open("rb") as file:
        assert problem(viewer.post("/api/check", files={"file": ("good.csv", file)}), 403)
    assert problem(viewer.post("/api/jobs/1/verify"), 403)


def reader_of(served):
    """Return the process that reads a roster for a server, stopped, as soon as there is one."""
    for process in psutil.Process(served.running.process.pid).children():
        with suppress(psutil.NoSuchProcess):
            if "worker.intake.csv_files.process" in process.cmdline():
                process.suspend()
                return process
    return None


@pytest.mark.console_script
def test_a_check_ends_when_its_client_leaves(served, terminal, people):
    headings, *lines = terminal.roster("roster.csv", people(10)).read_text("utf-8").splitlines(keepends=True)
    # Long enough to be found by somebody who asks rarely.
    endless = f"{headings}{''.join(lines) * 30_000}".encode()
    request = served.client.build_request("POST", "/api/check", files={"file": ("roster.csv", endless)})
    headers = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    place = urlsplit(served.url)
    readers = []
    with socket.create_connection((place.hostname, place.port)) as client:
        client.sendall(f"POST /api/check HTTP/1.1\r\n{headers}\r\n".encode() + request.read())
        wait_until(lambda: readers.append(reader_of(served)) or readers[-1], "the process that reads it")

    wait_until(lambda: not readers[-1].is_running(), "the end of what is read for nobody")
    uploads = terminal.folder / "roster-files" / "uploads"
    wait_until(lambda: list(uploads.iterdir()) == [], "the end of the upload")
    assert audit(terminal, "check") == []
    assert check(served, terminal.folder / "roster.csv").json()["would_send"] == 10


def test_a_job_is_verified_and_the_rows_that_differ_are_a_file(web_server, office, sandbox, people):
    lms = sandbox()
    terminal = office(lms, "kmi", lookup_pauses=SHORT_PAUSES)
    served = web_server(terminal)
    rows = people(3, login_name=lambda number: f"login{number}")
    job = served.run_to_end(terminal.roster("spring.csv", rows))["job"]
    results = csv.DictReader(
        io.StringIO(served.client.get(f"/api/jobs/{job}/results.csv").content.decode("utf-8-sig"))
    )
    registration = next(results)["_registration_id"]
    assert "differ" in problem(served.client.get(f"/api/jobs/{job}/differs.csv"), 404)
    changes = lms.changes

    first = served.client.post(f"/api/jobs/{job}/verify").json()
    keys = {"X-Api-Key": "sandbox-key", "X-Api-Secret": "sandbox-secret"}
    lms.client.post(f"/api/v2/registrations/{registration}/withdraw/", headers=keys).raise_for_status()
    second = served.client.post(f"/api/jobs/{job}/verify").json()

    schemas.Summary.model_validate(second)
    assert first["verified"] == {"confirmed": 3, "differs": 0, "cannot_be_verified": 0}
    assert second["verified"] == {"confirmed": 2, "differs": 1, "cannot_be_verified": 0}
    assert f"/api/jobs/{job}/differs.csv" in second["reports"]
    differs = served.client.get(f"/api/jobs/{job}/differs.csv").content.decode("utf-8-sig")
    (row,) = csv.DictReader(io.StringIO(differs))
    assert row["email"] == rows[0]["email"]
    assert lms.changes - changes == {"withdraw": 1}
    assert [each["job"] for each in audit(terminal, "verify")] == [job, job]

    # A client that goes away leaves its place to the next one, whatever the LMS does with its call.
    lms.rules("list_registrations:hold:nth=1")
    with pytest.raises(httpx.ReadTimeout):
        served.client.post(f"/api/jobs/{job}/verify", timeout=1)
    wait_until(lambda: lms.look("rules")[0]["fired"], "the call that is held")
    third = served.client.post(f"/api/jobs/{job}/verify", timeout=SOON).json()
    assert third["verified"] == second["verified"]

    lms.rules("*:401:after=0")
    stopped = problem(served.client.post(f"/api/jobs/{job}/verify"), 409)
    assert "verify the job again" in stopped
    assert "roster" not in stopped
    assert "no job 77" in problem(served.client.post("/api/jobs/77/verify"), 404)


async def test_an_lms_that_does_not_answer_ends_what_a_client_waits_for_with_a_sentence(terminal, lms, monkeypatch):
    job = terminal.run(terminal.people("spring.csv", 2)).job
    monkeypatch.chdir(terminal.folder)
    for name, value in terminal.environment.items():
        monkeypatch.setenv(name, value)
    services = open_services(None)
    app = make_app(services, LocalAccess(TOKEN))
    app.state.time_limits = TimeLimits(silent_seconds=0.3)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 1))

    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
        lms.rules("*:hold")
        probed = await asyncio.to_thread(check_connection, services, "north", 0.3)
        moodle = read_connection("moodle", raw_connection("moodle", lms.url))
        learned = await asyncio.to_thread(learn_limits, services, moodle, 0.3)
        silent = problem(await client.post(f"/api/jobs/{job}/verify"), 504)
        app.state.time_limits = TimeLimits(total_seconds=0, seconds_per_row=0)
        too_long = problem(await client.post(f"/api/jobs/{job}/verify"), 504)
        app.state.time_limits = TimeLimits()
        lms.rules("*:throttle:retry-after=60")
        paused = problem(await client.post(f"/api/jobs/{job}/verify"), 503)
    services.ledger.close()

    rest = ". What was read until then is saved; verify the job again to read the rest"
    assert (probed.is_ok, learned) == (False, None)
    assert probed.text.endswith("has not answered for 0 seconds")
    assert silent == f"The LMS has not answered for 0 seconds{rest}"
    assert paused == f"The LMS asked for a pause (429): the next call may go in 60 seconds{rest}"
    assert too_long == f"The LMS took longer than 0 seconds in all{rest}"
