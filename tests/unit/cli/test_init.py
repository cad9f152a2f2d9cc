"""`roster init`: a roster.toml that is valid, by asking or with the defaults; nothing is overwritten unasked."""

from __future__ import annotations

import json
import re
import tomllib

import pytest
from click.testing import CliRunner

from worker import lms
from worker.cli.main import roster
from worker.errors import UsageError
from worker.settings import load


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(*words, answers=None):
    result = CliRunner().invoke(roster, ["init", *words], input=answers)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def set_secrets(monkeypatch, text):
    for name in re.findall(r"env:(\w+)", text):
        monkeypatch.setenv(name, "secret")


@pytest.mark.parametrize("system", lms.systems())
def test_the_defaults_are_a_valid_configuration_with_a_connection_of_each_system(folder, monkeypatch, system):
    init("--yes", "--system", system)
    text = (folder / "roster.toml").read_text("utf-8")
    set_secrets(monkeypatch, text)

    (connection,) = load(None).connections.items()
    assert lms.read_connection(*connection).system == system

    (folder / "roster.toml").write_text(re.sub(r"^#(?=\S)", "", text, flags=re.MULTILINE), "utf-8")
    everything = load(None)
    read = [lms.read_connection(*each) for each in everything.connections.items()]
    assert {each.system for each in read} == set(lms.systems())
    assert [each.name for each in everything.watched] == ["inbox"]


def test_what_was_answered_is_in_the_file_and_a_wrong_answer_is_asked_again(folder, monkeypatch):
    answers = ["tahdah", "No Name!", "spring", "", "abc-the-secret", "OUR_TOKEN", "42", "1", "", "redis://r:6379/0"]

    shown = init(answers="".join(f"{each}\n" for each in answers))

    values = tomllib.loads((folder / "roster.toml").read_text("utf-8"))
    assert values["connections"] == {
        "spring": {
            "system": "tahdah",
            "base_url": "https://api.tahdah.me",
            "token": "env:OUR_TOKEN",
            "legal_entity_id": 42,
            "behavior": 1,
        }
    }
    assert (values["ledger"], values["broker"]) == ("sqlite:///roster.db", "redis://r:6379/0")
    assert "the secret itself does not belong here" in shown.output
    assert "abc-the-secret" not in (folder / "roster.toml").read_text("utf-8")
    assert "Set OUR_TOKEN in the environment." in shown.stdout


def test_a_connection_that_is_not_valid_is_asked_again(folder):
    answers = ["kmi", "", "http://lms.example.com", "", "", "https://lms.example.com/api/v2", "", "", "", ""]

    shown = init(answers="".join(f"{each}\n" for each in answers))

    assert "http:// sends the secrets in plain text" in shown.output
    assert 'base_url = "https://lms.example.com/api/v2"' in (folder / "roster.toml").read_text("utf-8")


def test_answers_that_end_early_write_nothing(folder):
    with pytest.raises(UsageError, match="--yes takes the defaults"):
        init(answers="tahdah\n")

    assert not (folder / "roster.toml").exists()


def test_a_file_that_is_there_is_kept_unless_forced(folder):
    (folder / "roster.toml").write_text("# mine\n", "utf-8")

    with pytest.raises(UsageError, match="--force replaces it"):
        init("--yes")
    assert (folder / "roster.toml").read_text("utf-8") == "# mine\n"

    init("--yes", "--force")
    assert "[connections." in (folder / "roster.toml").read_text("utf-8")


def test_the_file_is_written_where_the_commands_read_it(folder, monkeypatch):
    CliRunner().invoke(roster, ["--config", "named.toml", "init", "--yes"])
    monkeypatch.setenv("ROSTER_CONFIG", str(folder / "by-variable.toml"))
    init("--yes")

    assert [path.name for path in sorted(folder.iterdir())] == ["by-variable.toml", "named.toml"]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--yes", "--system", "tahda"], "did you mean tahdah"),
        (["--yes", "--config", "no/such/roster.toml"], "There is no folder"),
        (["--yes", "--config", "."], "is a folder"),
    ],
)
def test_what_cannot_be_written_is_explained(words, error):
    with pytest.raises(UsageError, match=error):
        init(*words)


def test_doctor_accepts_the_configuration_and_makes_nothing(folder, monkeypatch):
    init("--yes")

    result = CliRunner().invoke(roster, ["doctor", "--json"])

    checks = {each["name"]: each for each in json.loads(result.stdout)}
    assert result.exit_code == 2
    assert (checks["configuration"]["status"], checks["ledger"]["status"]) == ("ok", "ok")
    assert str(folder / "roster.toml") in checks["configuration"]["message"]
    assert checks["north"]["status"] == "failed"
    assert "TAHDAH_TOKEN is not set" in checks["north"]["todo"]
    assert not list(folder.glob("*.db*"))
