"""The API checks a roster before it is sent, and a job afterwards; it changes nothing at the LMS."""

from __future__ import annotations

import csv
import io

import pytest

from tests.web_server import problem
from worker.web import schemas

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

    lms.rules("*:401:after=0")
    stopped = problem(served.client.post(f"/api/jobs/{job}/verify"), 409)
    assert "verify the job again" in stopped
    assert "roster" not in stopped
    assert "no job 77" in problem(served.client.post("/api/jobs/77/verify"), 404)
