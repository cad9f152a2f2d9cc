"""`[folders.NAME]` of roster.toml."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from worker.errors import SettingsError
from worker.folders.watch import options_of_folder
from worker.settings import load

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "roster.toml"


def written(config: Path, text: str) -> Path:
    config.write_text(text, encoding="utf-8")
    return config


def test_its_path_counts_from_the_folder_of_the_file_and_the_rest_has_defaults(config: Path) -> None:
    (folder,) = load(written(config, '[folders.inbox]\npath = "in"\n')).watched

    assert (folder.name, folder.path, folder.settle_seconds) == ("inbox", str(config.parent / "in"), 5.0)
    assert folder.connection is None


def test_its_options_are_those_of_a_roster(config: Path) -> None:
    text = '[folders.a]\npath = "/x"\ncourse = 58\nset = {behavior = 1}\nmap = {"Staff no" = "external_id"}\n'
    (folder,) = load(written(config, f"{text}again = true\nheading_row = 3\n")).watched

    options = options_of_folder(folder)

    assert options.heading_row == 3

    assert (options.course, options.set_values, options.mapping) == (
        "58",
        {"behavior": "1"},
        {"Staff no": "external_id"},
    )
    assert (options.again, options.strict, options.update_existing) == (True, False, False)


def test_the_environment_wins(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROSTER_FOLDERS__INBOX__PATH", "/elsewhere")
    monkeypatch.setenv("ROSTER_FOLDERS__INBOX__STRICT", "true")

    (folder,) = load(written(config, '[folders.Inbox]\npath = "in"\ncourse = "58"\n')).watched

    assert (folder.name, folder.path, folder.strict, folder.course) == ("Inbox", "/elsewhere", True, "58")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[folders.a]\npath = "x"\nsetle_seconds = 3',
            "unknown key folders.a.setle_seconds; did you mean settle_seconds?",
        ),
        ("[folders.a]\nstrict = true", "folders.a.path is missing"),
        ('[folders.a]\npath = "x"\nsettle_seconds = -1', "folders.a.settle_seconds"),
        ('[folders.a]\npath = "x"\n[folders.b]\npath = "./x/"', "folders.a and folders.b are the same folder"),
        ('[folders.a]\npath = "x"\nname = "b"', "unknown key folders.a.name"),
        ("[folders.a]\npath = 7", "folders.a.path"),
        ('folders = "x"', "folders"),
        ('[folders]\na = "x"', "folders.a"),
    ],
)
def test_what_is_wrong_with_it_is_named(config: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load(written(config, text))

    assert said in str(raised.value)
