"""What every command has: help that is shown in full, and --config before or after it."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from worker.cli.group import CommandGroup
from worker.cli.main import roster


def groups(command: click.Command = roster, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], CommandGroup]:
    """Return each group by the words that are typed for it."""
    assert isinstance(command, CommandGroup)
    found = {path: command}
    for name, below in command.commands.items():
        if isinstance(below, click.Group):
            found |= groups(below, (*path, name))
    return found


@pytest.mark.parametrize("path", groups(), ids=" ".join)
def test_each_command_is_explained_on_a_line_of_80_columns(path):
    shown = CliRunner(env={"COLUMNS": "80"}).invoke(roster, [*path, "--help"], terminal_width=80).output

    listed = shown.partition("Commands:\n")[2].splitlines()
    commands = groups()[path].commands
    assert [line.split()[0] for line in listed] == sorted(commands)
    assert all(line.endswith(".") and not line.endswith("..") and len(line) <= 80 for line in listed), shown


def test_a_narrow_terminal_breaks_lines_and_cuts_nothing():
    shown = CliRunner().invoke(roster, ["--help"], terminal_width=50).output

    assert " ".join(shown.split()).count("calls in progress finish, the rest is never sent.") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["--config", "other.toml", "jobs"],
        ["jobs", "--config", "other.toml"],
        ["jobs", "--config=other.toml", "--json"],
        ["--config", "other.toml", "schedule", "list"],
        ["schedule", "--config", "other.toml", "list"],
        ["schedule", "list", "--config", "other.toml"],
        ["--config", "first.toml", "schedule", "list", "--config", "other.toml"],
    ],
    ids=" ".join,
)
def test_the_configuration_is_named_before_or_after_any_command(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)

    result = CliRunner().invoke(roster, words)

    assert str(result.exception) == "The configuration file other.toml does not exist"


def test_every_command_takes_the_configuration():
    without = [
        " ".join((*path, name))
        for path, group in groups().items()
        for name, command in group.commands.items()
        if "--config" not in {option for each in command.params for option in each.opts}
    ]

    assert without == []
