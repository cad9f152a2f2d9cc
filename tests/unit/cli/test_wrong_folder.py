"""Commands in a folder without a roster.toml."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from worker.cli.main import roster


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ["run", "roster.csv"],
        ["check", "roster.csv"],
        ["submit", "roster.csv"],
        ["schedule", "add", "nightly", "--cron", "@daily", "roster.csv"],
    ],
    ids=" ".join,
)
def test_a_command_that_needs_a_connection_says_so_and_makes_nothing(folder, words):
    result = CliRunner().invoke(roster, words)

    assert "No connection is configured. `roster init` writes a roster.toml" in str(result.exception)
    assert list(folder.iterdir()) == []


def test_doctor_says_what_is_missing_and_makes_nothing(folder):
    result = CliRunner().invoke(roster, ["doctor"])

    assert result.exit_code == 2
    assert f"ok   ledger: there is none at {folder / 'roster.db'} yet" in result.output
    assert "FIX  no connection is configured in roster.toml; `roster init` writes one" in result.output
    assert list(folder.iterdir()) == []


def test_doctor_names_a_ledger_that_cannot_be_made(folder, monkeypatch):
    monkeypatch.setenv("ROSTER_LEDGER", "sqlite:////no/such/folder/roster.db")

    result = CliRunner().invoke(roster, ["doctor"])

    assert "FIX  ledger: there is none at /no/such/folder/roster.db yet, and the folder" in result.output
