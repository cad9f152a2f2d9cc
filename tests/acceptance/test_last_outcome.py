"""The last true outcome of a row is kept until there is a newer one."""

from __future__ import annotations

import pytest

KEPT = ("_status", "_error", "_error_code", "_attempts", "_http_status", "_when", "_candidate_id")


@pytest.fixture
def rejected(sandbox, open_office, people):
    """A job of 60 rows whose people the LMS has rejected."""
    lms = sandbox(bad_days=["create_candidate:422"])
    terminal = open_office(lms, breaker=100, max_in_flight=2)
    terminal.roster("roster.csv", people(60))
    return lms, terminal, terminal.run("roster.csv")


def outcomes(result):
    return [{name: row[name] for name in KEPT} for row in result.rows]


@pytest.mark.parametrize("ledger_kind", ["SQLite", "PostgreSQL"], indirect=True)
def test_a_retry_that_is_cancelled_never_turns_a_rejection_into_not_sent(rejected):
    lms, terminal, first = rejected
    assert first.counts == {"rejected": 60}
    lms.rules("create_candidate:hold:after=2")
    lms.answer_after(0.5)
    calls = lms.calls()

    retried = terminal.start("retry", 1, "--rejected", "--json")
    lms.until(lambda lms: lms.calls() > calls, "the first call again")
    meanwhile = terminal.status(1)
    terminal.type("cancel", 1)
    lms.rules()
    result = retried.result()

    assert meanwhile["by_status"]["not_attempted"] == 0
    assert (result.code, result.state) == (1, "cancelled")
    there = set(lms.people)
    assert 0 < len(there) < 60
    for row, before in zip(result.rows, outcomes(first), strict=True):
        if row["email"] not in there:
            assert {name: row[name] for name in KEPT} == before
    assert result.counts["rejected"] >= 60 - len(there)


def test_a_retry_without_anything_to_do_changes_nothing(rejected, web_server):
    lms, terminal, _ = rejected
    calls = lms.calls()
    before = terminal.status(1)

    for words in (("retry", 1), ("resume", 1)):
        again = terminal.type(*words, "--json")
        assert again.code == 1
        assert again.summary["finished_at"] == before["finished_at"]
    client = web_server(terminal).client
    assert client.post("/api/jobs/1/retry").status_code == 200

    assert terminal.status(1) == before
    assert lms.calls() == calls
    refused = client.post("/api/jobs/1/retry", json={"rejected": "perhaps"})
    assert refused.status_code == 422
    page = client.get("/jobs/1").text
    assert "Send 60 rejected rows again" in page
    assert "Send 60 rejected rows of job 1 again?" in " ".join(client.get("/jobs/1/retry").text.split())


@pytest.mark.parametrize("field", [{"json": {"rejected": True}}, {"data": {"rejected": "true"}}])
def test_rejected_rows_are_sent_again_by_the_field_of_the_api(rejected, web_server, field):
    lms, terminal, _ = rejected
    lms.rules()
    served = web_server(terminal)

    assert served.client.post("/api/jobs/1/retry", **field).status_code == 200

    assert served.until(1)["by_status"]["registered"] == 60


def test_a_row_lost_each_time_has_a_code_of_its_own_that_a_cancelled_retry_keeps(sandbox, office, people):
    lms = sandbox(bad_days=["create_user:lost-before"])
    terminal = office(lms, "kmi", lookup_pauses=[0.01])
    terminal.roster("roster.csv", people(1, login_name="one"))

    result = terminal.run("roster.csv")

    (row,) = result.rows
    assert (row["_status"], row["_error_code"], row["_attempts"]) == ("not_attempted", "lost_each_time", "3")
    assert "Sent 3 times" in row["_error"]
    lms.rules()
    again = terminal.balanced(terminal.type("retry", 1, "--json"))
    assert (again.code, again.counts) == (0, {"registered": 1})
