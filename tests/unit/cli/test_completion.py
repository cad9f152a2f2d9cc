"""What the Tab key offers; the shells ask the program as here."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.shell_completion import BashComplete, FishComplete, ZshComplete, shell_complete
from click.testing import CliRunner
from sqlalchemy import text

from tests.builders import a_job, closing, open_ledger
from worker.cli.main import roster
from worker.ledger import key_value, schedules
from worker.ledger.database import open_engine
from worker.model import JobState

CONFIGURATION = """
[connections.north]
system = "tahdah"
[connections.kmi]
system = "kmi"
[messages.office]
kind = "email"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "roster.toml").write_text(CONFIGURATION, "utf-8")
    return tmp_path


@pytest.fixture
def ledger(folder):
    with closing(open_ledger(folder)) as ledger, ledger.write() as tx:
        for state in (JobState.SUCCEEDED, JobState.PAUSED):
            a_job(tx, state)
        key_value.put(tx, "map:hr", {})
        schedules.add(
            tx,
            name="nightly",
            cron="@daily",
            zone="UTC",
            source="r.csv",
            connection="north",
            options={},
            missed="once",
            next_at=0.0,
            report_dir="",
        )
    return ledger


def offered(*words, typed=""):
    found = BashComplete(roster, {}, "roster", "_ROSTER_COMPLETE").get_completions(list(words), typed)
    return [item.value for item in found]


@pytest.mark.parametrize(
    ("words", "typed", "values"),
    [
        (["run", "--to"], "", ["kmi", "north"]),
        (["check", "r.csv", "--to"], "N", ["north"]),
        (["schedule", "add", "--to"], "k", ["kmi"]),
        (["message", "test"], "", ["office"]),
        (["init", "--system"], "ta", ["tahdah"]),
        (["jobs", "--state"], "o", ["open"]),
        (["run", "--hidden-rows"], "s", ["send", "skip"]),
        ([], "sched", ["schedule"]),
        (["completion"], "", ["bash", "zsh", "fish"]),
    ],
)
def test_what_is_in_the_configuration_is_offered_without_a_ledger(folder, words, typed, values):
    assert offered(*words, typed=typed) == values
    assert [path.name for path in folder.iterdir()] == ["roster.toml"]


@pytest.mark.parametrize(
    "command",
    ["status", "report", "pause", "resume", "cancel", "retry", "undo", "verify", "resolve"],
)
def test_jobs_are_offered_the_newest_first(ledger, command):
    assert offered(command) == ["2", "1"]
    assert offered(command, typed="1") == ["1"]


def test_schedules_and_saved_maps_are_offered(ledger):
    assert offered("schedule", "remove") == ["nightly"]
    assert offered("run", "--use-map") == ["hr"]


def test_the_configuration_that_was_typed_counts(folder):
    (folder / "other.toml").write_text('[connections.south]\nsystem = "kmi"\n', "utf-8")

    assert offered("--config", "other.toml", "run", "--to") == ["south"]
    assert offered("run", "--config", "other.toml", "--to") == ["south"]


def test_connections_of_the_environment_are_offered(monkeypatch):
    monkeypatch.setenv("ROSTER_CONNECTIONS__EAST__SYSTEM", "kmi")

    assert offered("run", "--to") == ["east", "kmi", "north"]


@pytest.mark.parametrize("configuration", ["[connections", 'ledger = "nothing://"', "connections = 1", "x = 1"])
def test_whatever_is_wrong_offers_nothing(folder, configuration):
    (folder / "roster.toml").write_text(configuration, "utf-8")

    assert offered("run", "--to") == []
    assert offered("status") == []


def test_an_older_ledger_is_not_migrated(folder, ledger):
    engine = open_engine(f"sqlite:///{folder / 'roster.db'}")
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0012'"))

    assert offered("status") == []
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "0012"
    engine.dispose()


@pytest.mark.parametrize(("shell", "kind"), [("bash", BashComplete), ("zsh", ZshComplete), ("fish", FishComplete)])
def test_the_script_of_each_shell_asks_the_program(shell, kind):
    printed = CliRunner().invoke(roster, ["completion", shell]).output

    assert f"_ROSTER_COMPLETE={shell}_complete" in printed
    item = kind(roster, {}, "roster", "_ROSTER_COMPLETE").get_completions(["run", "--to"], "k")[0]
    assert (item.value, item.help) == ("kmi", "kmi")


#: Names that a shell splits, or that its protocol does.
ODD_NAMES = """
[connections."north east"]
system = "kmi"
[connections."a:b"]
system = "kmi"
[connections.'$HOME']
system = "tahdah"
[connections."two\\nlines"]
system = "kmi"
"""


def answered(monkeypatch, capfd, shell, *words):
    """Ask as the script of a shell does, the last word being the one that is typed; return the lines."""
    typed = {"fish": words[-1]}.get(shell, str(len(words)))
    monkeypatch.setenv("COMP_WORDS", "\n".join(["roster", *words]))
    monkeypatch.setenv("COMP_CWORD", typed)
    assert shell_complete(roster, {}, "roster", "_ROSTER_COMPLETE", f"{shell}_complete") == 0
    return capfd.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("shell", "answer"),
    [
        ("bash", [r"plain,\\$HOME", "plain,a:b", r"plain,north\\ east"]),
        ("zsh", ["plain", "$HOME", "tahdah", "plain", r"a\:b", "kmi", "plain", "north east", "kmi"]),
        ("fish", ["plain,$HOME\ttahdah", "plain,a:b\tkmi", "plain,north east\tkmi"]),
    ],
)
def test_odd_names_of_connections_are_answered_in_the_form_of_each_shell(folder, monkeypatch, capfd, shell, answer):
    (folder / "roster.toml").write_text(ODD_NAMES, "utf-8")

    assert answered(monkeypatch, capfd, shell, "run", r"my\ roster.csv", "--to", "") == answer
    assert answered(monkeypatch, capfd, shell, "run", "a:b.csv", "--to", "n")[-1] == answer[-1]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_jobs_are_answered_on_one_line_whatever_their_roster_is_called(ledger, monkeypatch, capfd, shell):
    with closing(open_ledger(Path())) as again, again.write() as tx:
        a_job(tx, roster="odd\n\tname: x.csv")

    said = answered(monkeypatch, capfd, shell, "status", "3")

    about = "odd name: x.csv, running"
    assert said == {"bash": ["plain,3"], "zsh": ["plain", "3", about], "fish": [f"plain,3\t{about}"]}[shell]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_files_are_left_to_the_shell(monkeypatch, capfd, shell):
    assert answered(monkeypatch, capfd, shell, "run", r"my\ ro")[0].startswith("file")
