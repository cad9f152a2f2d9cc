"""Ctrl-C at any moment: the command says how far the job is, with the exit code that is true then."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading

import pytest

from tests.conftest import wait_until

#: The commands that work on a job, with the roster of that job.
COMMANDS = {
    "run": ("run", "roster.csv"),
    "resume": ("resume", 1),
    "retry": ("retry", 1),
    "verify": ("verify", 1),
    "undo": ("undo", 1),
}


class Held:
    """Holds a command that writes its reports: an old one that it compares is a pipe, which it reads to the end."""

    def __init__(self, pipe):
        pipe.parent.mkdir(exist_ok=True)
        os.mkfifo(pipe)
        self.pipe, self.writer = pipe, -1

    def has_come(self):
        try:
            self.writer = os.open(self.pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return False
        return True

    def let_go(self):
        self.pipe.unlink()
        os.close(self.writer)


@pytest.fixture
def lms(sandbox):
    return sandbox()


@pytest.fixture
def terminal(office, lms):
    terminal = office(lms, "kmi")
    terminal.people("roster.csv", 2, login_name=lambda number: f"login{number}")
    return terminal


@pytest.fixture
def hold(terminal):
    return lambda roster: Held(terminal.folder / "held" / f"{roster}.results.csv")


def interrupt_at_the_reports(terminal, held, words, *, number=signal.SIGINT):
    command = terminal.start(*words, "--report", "held")
    wait_until(held.has_come, "the reports")
    command.process.send_signal(number)
    wait_until(lambda: "press Ctrl-C again" in command.err.read_text("utf-8"), "the notice")
    return command


def test_ctrl_c_after_the_end_of_a_job_changes_neither_exit_code_nor_summary(terminal, hold):
    for name, words in COMMANDS.items():
        held = hold("undo-1-roster" if name == "undo" else "roster")
        command = interrupt_at_the_reports(terminal, held, [*words, "--json"])
        held.let_go()
        result = command.result()

        assert result.code == 0, (name, result.err)
        assert result.state == "succeeded"
        assert sum(result.counts.values()) == 2
        assert any(path.endswith(".results.csv") for path in result.summary["reports"])


def test_a_second_ctrl_c_ends_without_the_reports_and_with_the_summary(terminal, hold):
    held = hold("roster")
    command = interrupt_at_the_reports(terminal, held, [*COMMANDS["run"], "--json"])
    command.interrupt()
    held.let_go()
    result = command.result()

    assert (result.code, result.state, result.counts) == (130, "succeeded", {"registered": 2})
    assert result.summary["reports"] == []
    assert "`roster report 1`" in result.err
    again = terminal.type("resume", 1, "--json")
    assert (again.code, again.counts) == (0, {"registered": 2})
    assert again.summary["reports"]


def test_an_interruption_between_two_rosters_leaves_the_second_one(terminal, lms, hold):
    terminal.people("next.csv", 2, first=3, login_name=lambda number: f"login{number}")
    held = hold("roster")
    command = interrupt_at_the_reports(
        terminal, held, ["run", "roster.csv", "next.csv", "--json"], number=signal.SIGTERM
    )
    held.let_go()
    result = command.result()

    assert result.code == 130
    first, second = result.json
    assert first["state"] == "succeeded"
    assert second == {"error": "next.csv: interrupted; nothing of it was sent", "roster": "next.csv"}
    assert len(lms.standing) == 2


def test_a_roster_whose_reading_was_interrupted_is_resumed_from_its_start(terminal, lms):
    stored = uploaded_roster(terminal)
    text = stored.read_bytes()
    stored.unlink()
    os.mkfifo(stored)
    command = terminal.start("resume", 1, "--json")
    wait_until(lambda: terminal.jobs()[0]["state"] == "validating", "the reading")
    command.interrupt()
    result = command.result()

    assert (result.code, result.state) == (130, "paused")
    assert result.summary["reason"] == "interrupted"
    stored.unlink()
    stored.write_bytes(text)
    again = terminal.resume(1)
    assert (again.code, again.counts) == (0, {"registered": 2})


def uploaded_roster(terminal):
    """Submit the roster to a queue whose broker is away; return the file that it was stored as."""
    terminal.environment["ROSTER_BROKER"] = "redis://127.0.0.1:9/0"
    assert terminal.type("submit", "roster.csv", "--json").json == {"job": 1}
    del terminal.environment["ROSTER_BROKER"]
    with sqlite3.connect(terminal.folder / "roster.db") as ledger:
        ((place,),) = ledger.execute("select stored_path from job")
    return terminal.folder / place


@pytest.mark.parametrize("name", ["check", "run"])
def test_standard_input_that_was_interrupted_is_said_to_be_unsent(terminal, lms, name):
    pipe = terminal.folder / "typed"
    os.mkfifo(pipe)
    typing = os.open(pipe, os.O_RDWR)
    command = terminal.start(name, "-", "--json", stdin="typed")
    # More than a pipe holds: what comes back from this has begun to be read.
    writer = threading.Thread(target=os.write, args=(typing, b"x" * 200_000))
    writer.start()
    writer.join()
    command.interrupt()
    os.close(typing)
    result = command.result()

    assert result.code == 130
    assert result.json == {"error": "stdin: interrupted; nothing of it was sent", "roster": "stdin"}
    assert lms.calls() == 0


def test_a_verification_that_was_interrupted_says_how_to_start_again(terminal, lms):
    terminal.run("roster.csv")
    asked = lms.calls()
    lms.rules("*:hold:after=1")
    command = terminal.start("verify", 1, "--json")
    lms.until(lambda lms: lms.calls() > asked, "a look-up")
    command.interrupt()
    result = command.result()
    lms.rules()

    assert (result.code, result.state) == (130, "succeeded")
    assert "Interrupted. Run `roster verify 1` to start again" in result.err


def test_a_job_that_is_being_cancelled_stays_cancelled_when_its_command_is_interrupted_twice(terminal, lms):
    lms.rules("create_user:hold")
    command = terminal.start("run", "roster.csv", "--json")
    wait_until(lambda: [job["by_status"]["not_attempted"] for job in terminal.jobs()] == [2], "the job")
    wait_until(lambda: is_sending(terminal), "a call")
    terminal.type("cancel", 1)
    command.interrupt()
    wait_until(lambda: "press Ctrl-C again" in command.err.read_text("utf-8"), "the notice")
    command.interrupt()
    result = command.result()
    lms.rules()

    assert result.code == 1
    assert result.state == "cancelled"


def is_sending(terminal):
    with sqlite3.connect(terminal.folder / "roster.db") as ledger:
        return ledger.execute("select count(*) from candidate where state = 'sending'").fetchone()[0]
