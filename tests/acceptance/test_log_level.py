"""`log_level = "debug"`: more lines for an operator, and none with a secret, a name, an address or a cell."""

from __future__ import annotations

import json
import re

import pytest

from tests.conftest import FIRST_NAME, LAST_NAME, SECRETS
from tests.queues import everything_in

#: What a library's own lines of debug would show: headers, parameters of SQL, addresses of calls, forms.
SHOWN_NOWHERE = (FIRST_NAME, LAST_NAME, "example.com", "Liddell Street", "1990-01-31", *SECRETS.values())
PERSONAL = re.compile("|".join(map(re.escape, SHOWN_NOWHERE)), re.IGNORECASE)
DEBUG = {"ROSTER_LOG_LEVEL": "DEBUG", "ROSTER_LOG": "json"}


def events(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def roster(people):
    return people(4, address="1 Liddell Street", date_of_birth="1990-01-31", login_name=lambda each: f"login{each}")


@pytest.mark.parametrize("system", ["north", "kmi", "academy"])
def test_a_run_says_each_call_and_nothing_personal(sandbox, office, people, system):
    lms = sandbox()
    terminal = office(lms, system, lookup_pauses=[0.0])
    lms.rules(*(f"{call}:lost-after:nth=1" for call in ("register", "create_registration", "enrol_users")))
    terminal.roster("people.csv", roster(people))
    terminal.environment |= DEBUG

    result = terminal.type("run", "people.csv", "--json")
    others = [terminal.type(*words) for words in (["verify", 1], ["status", 1], ["doctor"], ["report", 1])]

    assert result.json["total"] == 4
    calls = [event for event in events(result.err) if event.get("event") == "LMS call"]
    assert sum(result.json["calls"].values()) <= len(calls)
    assert calls[0] | {"timestamp": "", "seconds": 0, "status": 200} == {
        "event": "LMS call", "level": "debug", "timestamp": "", "job": 1, "call": calls[0]["call"],
        "method": calls[0]["method"], "status": 200, "seconds": 0,
    }  # fmt: skip
    assert any(event.get("event") == "LMS call" for event in events(others[2].err)), "doctor makes a call too"
    for each in (result, *others):
        assert not PERSONAL.search(each.err), each.err


def test_workers_and_beat_say_more_and_nothing_personal(lms, terminal, queue, people):
    line = queue(terminal)
    terminal.roster("people.csv", roster(people))
    terminal.environment |= DEBUG
    worker, beat = line.worker(), line.beat()

    line.ended(line.submit("people.csv"))

    said = worker.said()
    assert {"LMS call", "message published"} <= {event.get("event") for event in events(said)}
    assert [event for event in events(beat.said()) if event["level"] == "debug"]
    assert not PERSONAL.search(said + beat.said() + everything_in(line.redis())), said


def test_the_server_says_more_and_nothing_personal(lms, terminal, web_server, people):
    path = terminal.roster("people.csv", roster(people))
    terminal.environment |= DEBUG
    server = web_server(terminal)

    assert server.run_to_end(path, connection="north")["state"] == "succeeded"

    said = server.running.err.read_text("utf-8")
    assert "LMS call" in {event.get("event") for event in events(said)}
    assert not PERSONAL.search(said), said


@pytest.mark.parametrize(("level", "code"), [("warning", 0), ("Error", 0), ("verbose", 2), ("", 0)])
def test_a_level_is_one_of_four(lms, terminal, people, level, code):
    terminal.roster("people.csv", people(1))
    terminal.environment["ROSTER_LOG_LEVEL"] = level

    result = terminal.type("run", "people.csv", "--quiet")

    assert result.code == code
    assert "LMS call" not in result.err
    assert code == 0 or "log_level" in result.err
