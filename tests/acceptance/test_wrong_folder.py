"""Commands in a folder without a ledger, with a mistyped variable, on a terminal without colours."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from worker.cli.main import roster


@pytest.fixture
def terminal(office, sandbox):
    opened = office(sandbox())
    for file in opened.folder.glob("roster.db*"):
        file.unlink()
    return opened


@pytest.mark.parametrize(
    "words",
    [
        ["jobs"],
        ["jobs", "--json"],
        ["status", "7"],
        ["report", "7"],
        ["resume", "7"],
        ["retry", "7"],
        ["undo", "7"],
        ["pause", "7"],
        ["cancel", "7"],
        ["verify", "7"],
        ["resolve", "7", "2", "--absent"],
        ["purge", "--older-than", "90d"],
        ["audit"],
        ["user", "list"],
        ["message", "list"],
        ["schedule", "list"],
        ["schedule", "preview"],
    ],
    ids=" ".join,
)
def test_a_command_makes_no_ledger_to_say_that_it_is_empty(terminal, words):
    result = terminal.type(*words)

    assert (result.code, result.out) == (2, "")
    assert f"There is no ledger at {terminal.folder / 'roster.db'}" in result.err
    assert [path.name for path in terminal.folder.iterdir() if path.suffix not in {".out", ".err"}] == [
        "roster.toml"
    ]


def test_a_database_without_a_ledger_is_left_as_it_is(terminal, empty_database):
    terminal.environment["ROSTER_LEDGER"] = empty_database

    result = terminal.type("jobs")

    assert result.code == 2
    assert "There is no ledger at postgresql" in result.err
    assert "There is no ledger" in terminal.type("status", "1").err


def test_a_mistyped_variable_is_an_error_and_makes_nothing(terminal):
    terminal.environment["ROSTER_LEGDER"] = "sqlite:///elsewhere.db"
    terminal.people("roster.csv", 1)

    for words in (["jobs"], ["run", "roster.csv"], ["doctor"]):
        result = terminal.type(*words)
        assert result.code == 2
        assert "ROSTER_LEGDER is not a Roster setting; did you mean ROSTER_LEDGER?" in result.err
    assert not list(terminal.folder.glob("*.db"))


@pytest.mark.parametrize(
    ("environment", "has_colours"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_colours_are_left_out_when_the_terminal_asks_for_that(tmp_path, monkeypatch, environment, has_colours):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")

    result = CliRunner(env=environment).invoke(roster, ["doctor"], color=True)

    assert ("\x1b[" in result.output) == has_colours, result.output


def test_an_empty_value_of_set_is_reported_under_its_own_option(terminal):
    terminal.people("roster.csv", 1)

    result = terminal.type("check", "roster.csv", "--course", "58", "--set", "course_id=")

    assert result.code == 2
    assert "--set course_id: " in result.err
    assert "--course" not in result.err
