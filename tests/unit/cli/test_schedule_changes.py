"""`roster schedule edit`, `pause` and `resume`."""

from __future__ import annotations

import json
import time

import pytest
from click.testing import CliRunner

from tests.builders import ELSEWHERE, change_records, closing, open_ledger
from worker.cli.main import roster
from worker.errors import RosterError
from worker.ledger import accounts, schedules, schema
from worker.ledger.leases import owner_name

CONFIGURATION = """
[connections.north]
system = "tahdah"
token = "x"
[connections.kmi]
system = "kmi"
base_url = "https://lms.example.com/api/v2"
api_key = "x"
api_secret = "x"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "roster.toml").write_text(CONFIGURATION, "utf-8")
    open_ledger(tmp_path).close()
    (tmp_path / "hr.csv").write_text("email,first_name\na@x.example,Ann\n", "utf-8")
    typed("add", "nightly", "--cron", "0 2 * * *", "--zone", "UTC", "hr.csv", "--to", "north", *OPTIONS)
    return tmp_path


OPTIONS = ("--course", "58", "--set", "behavior=1", "--strict", "--expect-by", "07:00")


def typed(*words):
    result = CliRunner().invoke(roster, ["schedule", *words])
    if isinstance(result.exception, RosterError):
        raise result.exception
    return result


def listed():
    (found,) = json.loads(typed("list", "--json").stdout)
    return found


def change_stored(folder, **values):
    with closing(open_ledger(folder)) as ledger:
        change_records(ledger, schema.schedule, **values)


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        (["--missed", "skip"], {"missed": "skip"}),
        (["--to", "kmi"], {"connection": "kmi"}),
        (["--expect-by", "08:30"], {"expect_by": "08:30"}),
        (["--clear", "expect-by"], {"expect_by": None}),
        (["--ignore-unchanged"], {"ignore_unchanged": True}),
    ],
    ids=" ".join,
)
def test_only_what_is_given_is_changed(words, changed):
    before = listed()

    printed = typed("edit", "nightly", *words, "--json")

    assert listed() == before | changed == json.loads(printed.stdout)


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        (["--course", "59"], {"course": "59"}),
        (["--set", "city=Cork"], {"set_values": {"city": "Cork"}}),
        (["--clear", "course", "--clear", "strict"], {"course": None, "strict": False}),
        (["--clear", "set", "--hidden-rows", "skip"], {"set_values": {}, "hidden_rows": "skip"}),
        (["--map", "Staff no=external_id"], {"mapping": {"Staff no": "external_id"}}),
    ],
    ids=" ".join,
)
def test_an_option_of_the_roster_is_changed_and_the_others_stay(words, changed):
    before = listed()

    typed("edit", "nightly", *words)

    assert listed()["options"] == before["options"] | changed


def test_another_time_gives_another_next_run(folder):
    typed("edit", "nightly", "--cron", "30 5 * * *", "--zone", "Europe/Dublin")

    changed = listed()
    assert (changed["cron"], changed["zone"]) == ("30 5 * * *", "Europe/Dublin")
    assert changed["next_at"][14:16] == "30"


def test_another_source_is_checked_at_once(folder):
    shown = typed("edit", "nightly", "new.csv")

    assert "Note: A run would fail now" in shown.stderr
    assert listed()["source"] == str(folder / "new.csv")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["nightly"], "Say what to change"),
        (["nightly", "--cron", "0 2 * *"], "cron"),
        (["nightly", "--zone", "Mars"], "Mars"),
        (["nightly", "--expect-by", "late"], "--expect-by"),
        (["nightly", "--to", "nowhere"], "nowhere"),
        (["nightly", "a.csv", "--url", "https://hr.example.com/x.csv"], "one source"),
        (["nightly", "--course", "59", "--clear", "course"], "--clear: course"),
        (["nightl", "--missed", "skip"], "did you mean nightly"),
    ],
    ids=" ".join,
)
def test_what_is_wrong_is_explained_and_nothing_is_changed(words, error):
    before = listed()

    with pytest.raises(RosterError, match=error):
        typed("edit", *words)

    assert listed() == before


def test_a_schedule_that_is_being_run_is_not_changed(folder):
    change_stored(folder, owner=owner_name(), lease_until=time.time() + 60)
    with pytest.raises(RosterError, match="is being run at this moment"):
        typed("pause", "nightly")

    change_stored(folder, owner=ELSEWHERE, lease_until=time.time() - 1)
    assert typed("pause", "nightly").exit_code == 0


def test_a_paused_schedule_opens_no_job_and_catches_nothing_up(folder, monkeypatch):
    paused = typed("pause", "nightly")
    change_stored(folder, next_at=time.time() - 3600)

    assert "`roster schedule resume nightly` resumes it" in paused.stdout
    assert "paused since" in typed("list").stdout
    assert "  paused" in typed("preview").stdout
    assert (listed()["next_at"], listed()["paused_at"] is None) == (None, False)
    with closing(open_ledger(folder)) as ledger, ledger.read() as tx:
        assert schedules.due(tx, time.time()) == []
    with pytest.raises(RosterError, match="is paused already"):
        typed("pause", "nightly")

    resumed = json.loads(typed("resume", "nightly", "--json").stdout)

    assert resumed["paused_at"] is None
    with closing(open_ledger(folder)) as ledger, ledger.read() as tx:
        (run,) = schedules.list_schedules(tx)
        assert run.next_at > time.time()
        acts = [entry.action for entry in accounts.audit_entries(tx)]
    assert acts == ["schedule resume", "schedule pause", "schedule add"]
    with pytest.raises(RosterError, match="is not paused"):
        typed("resume", "nightly")
