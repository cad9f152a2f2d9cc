"""`cancel` and `undo`: --dry-run says what would be done, and on a terminal a person is asked unless --yes."""

from __future__ import annotations

import os
import pty

import pytest

from tests.conftest import LONGEST_SECONDS, ROSTER

PEOPLE = 3


@pytest.fixture
def lms(sandbox):
    return sandbox()


@pytest.fixture
def terminal(office, lms, people):
    """An office with job 1, which has registered everybody, and job 2, which is held before its first row."""
    terminal = office(lms, "kmi")
    terminal.roster("first.csv", people(PEOPLE, login_name=lambda number: f"login{number}"))
    terminal.roster("second.csv", people(PEOPLE, first=10, login_name=lambda number: f"login{number}"))
    assert terminal.run("first.csv").code == 0
    lms.rules("*:401:after=0")
    assert terminal.type("run", "second.csv").code == 3
    lms.rules()
    return terminal


def answer(terminal, typed, *words):
    """Type a command at a terminal and answer its question; return its exit code and what the terminal shows."""
    us, them = pty.openpty()
    os.write(us, f"{typed}\n".encode())
    with os.fdopen(them, "rb", buffering=0) as end:
        process = terminal.launch([str(ROSTER), *words], stdin=end, stdout=end, stderr=end)
        code = process.wait(LONGEST_SECONDS)
        shown = os.read(us, 65_536).decode()
    os.close(us)
    return code, shown


def test_a_dry_run_says_what_would_be_done_in_numbers_and_changes_nothing(terminal, lms):
    ledger, calls = (terminal.folder / "roster.db").read_bytes(), lms.calls()

    undo, undo_json = terminal.type("undo", 1, "--dry-run"), terminal.type("undo", 1, "--dry-run", "--json").json
    cancel, cancel_json = (
        terminal.type("cancel", 2, "--dry-run"),
        terminal.type("cancel", 2, "--dry-run", "--json").json,
    )

    assert (undo.code, cancel.code) == (0, 0)
    assert "3 registrations of job 1 would be withdrawn in kmi. 3 to 7 calls to the LMS" in undo.out
    assert "Job 2 would be cancelled: 3 rows of 3 would not be sent. Nothing was changed." in cancel.out
    assert undo.out.rstrip().endswith("Nothing was changed.")
    assert (undo_json["job"], undo_json["would_withdraw"], undo_json["dry_run"]) == (1, PEOPLE, True)
    assert undo_json["planned_calls"] == 7
    assert (cancel_json["state"], cancel_json["would_not_be_sent"]) == ("held", PEOPLE)
    assert (terminal.folder / "roster.db").read_bytes() == ledger
    assert lms.calls() == calls


def test_a_dry_run_of_what_is_not_possible_says_why(terminal):
    undo, cancel = terminal.type("undo", 2, "--dry-run"), terminal.type("cancel", 1, "--dry-run")

    assert (undo.code, cancel.code) == (2, 2)
    assert "nothing to undo" in undo.err
    assert "there is nothing to cancel" in cancel.err


def test_on_a_terminal_a_person_is_asked_first(terminal, lms):
    refused_undo, refused_cancel = answer(terminal, "n", "undo", "1"), answer(terminal, "n", "cancel", "2")

    assert (refused_undo[0], refused_cancel[0]) == (130, 130)
    assert "Withdraw 3 registrations of job 1 in kmi? [y/N]" in refused_undo[1]
    assert "Cancel job 2? 3 rows of 3 would not be sent. [y/N]" in refused_cancel[1]
    assert "Nothing was changed" in refused_undo[1]
    assert len(lms.standing) == PEOPLE
    assert [terminal.status(job)["state"] for job in (1, 2)] == ["succeeded", "held"]

    assert answer(terminal, "y", "undo", "1")[0] == 0
    assert answer(terminal, "", "cancel", "2", "--yes")[0] == 0
    assert [terminal.status(job)["state"] for job in (1, 2)] == ["undone", "cancelled"]
    assert not lms.standing


def test_without_a_terminal_nobody_is_asked_and_the_json_is_the_summary(terminal, lms):
    cancelled = terminal.type("cancel", 2, "--json")

    assert (cancelled.code, cancelled.json["job"], cancelled.json["state"]) == (0, 2, "cancelled")
    assert "Job 2 is cancelled" in cancelled.err
    assert terminal.type("undo", 1, "--json").counts == {"withdrawn": PEOPLE}


def test_on_a_terminal_a_person_is_asked_before_a_configuration_is_replaced(office):
    terminal = office()
    terminal.configure("# mine\n")

    code, shown = answer(terminal, "n", "init")

    assert (code, (terminal.folder / "roster.toml").read_text("utf-8")) == (130, "# mine\n")
    assert "roster.toml exists. Replace it? [y/N]" in shown
