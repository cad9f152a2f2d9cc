"""No cell of a roster is in an error of the API, in the reason of a job, or in what the ledger keeps of them."""

from __future__ import annotations

import json

import pytest

from tests.conftest import FIRST_NAME, LAST_NAME

PERSON = f"{FIRST_NAME},{LAST_NAME},wilhelmina@example.com,58\n"
#: A roster of this size is not opened before the answer, so its errors become the reason of a job.
LARGE_BYTES = 6 * 2**20


def is_named(text):
    return any(value.casefold() in text.casefold() for value in (FIRST_NAME, LAST_NAME, "zoë", "bak,"))


@pytest.fixture
def served(sandbox, office, web_server):
    return web_server(office(sandbox()))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (PERSON.encode(), "4 headings, in columns A to D"),
        ("email,first_name,last_name,course_id\nz@example.com,Zoë,Bak,58\n".encode("mac-roman"), "`encoding`"),
    ],
)
def test_an_error_of_the_api_quotes_no_cell(served, content, said):
    answer = served.upload(served.office.write("roster.csv", content))

    assert answer.status_code == 422
    assert said in answer.json()["detail"]
    assert not is_named(answer.text)


def test_the_reason_of_a_job_quotes_no_cell(sandbox, office):
    terminal = office(sandbox())
    terminal.write("roster.csv", PERSON * (LARGE_BYTES // len(PERSON)))

    told = terminal.type("run", "roster.csv", "--json")

    assert told.code == 2
    reasons = json.dumps([job["reason"] for job in terminal.jobs()])
    assert "4 headings" in told.err + reasons
    assert not is_named(told.err + reasons)
