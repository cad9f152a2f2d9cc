"""A connector and a pretend LMS of another package, found by entry points: worked with as with Roster's own."""

from __future__ import annotations

import configparser
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.toy_package import TOY, toy_installed
from worker import lms
from worker.errors import SettingsError
from worker.intake.row_rules import id_problem
from worker.model import RowRules
from worker.reports.codes import CODES
from worker.runtime.preload import preload
from worker.sandbox.choices import EmailTaken

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "connectors.md").read_text("utf-8")


@pytest.fixture
def _toy() -> Iterator[None]:
    with toy_installed():
        yield


@pytest.mark.usefixtures("_toy")
def test_a_roster_is_checked_run_verified_and_undone_by_ids_that_are_words(sandbox, office):
    lms_of_toy = sandbox()
    terminal = office(lms_of_toy)
    connection = lms_of_toy.world.toy.connection(lms_of_toy.url).values
    terminal.environment["PYTHONPATH"] = str(TOY)
    terminal.configure(
        f'[connections.toy]\nsystem = "toy"\nbase_url = "{connection["base_url"]}"\ntoken = "env:TOY_TOKEN"\n'
    )
    terminal.environment["TOY_TOKEN"] = str(connection["token"])
    roster = terminal.roster(
        "people.csv",
        [
            {"first_name": "Ada", "last_name": "Byron", "email": "ada@example.com", "course_id": "fire-safety"},
            {"first_name": "Bo", "last_name": "Li", "email": "bo@example.com", "course_id": "first-aid"},
            {"first_name": "Cy", "last_name": "Ng", "email": "cy@example.com", "course_id": "Fire Safety!"},
        ],
    )

    assert "toy" in terminal.type("doctor").out
    planned = terminal.type("check", roster, "--json").json
    assert (planned["would_send"], lms_of_toy.changes.total()) == (2, 0)
    ran = terminal.type("run", roster, "--json")
    assert ran.counts == {"registered": 2, "invalid": 1}
    assert [each["_candidate_id"] for each in ran.rows] == ["ada-byron-1", "bo-li-2", ""]
    assert ran.rows[2]["_error_code"] == "invalid_id"
    assert terminal.type("verify", ran.job).code == 0
    undone = terminal.type("undo", ran.job, "--yes", "--json")
    assert undone.counts == {"withdrawn": 2}
    assert lms_of_toy.world.toy.enrolments == {}


@pytest.mark.usefixtures("_toy")
def test_a_person_who_exists_is_found_where_people_are_looked_up_one_by_one_and_never_listed(sandbox, office):
    lms_of_toy = sandbox(toy_email_taken=EmailTaken.CONFLICT)
    terminal = office(lms_of_toy)
    connection = lms_of_toy.world.toy.connection(lms_of_toy.url).values
    terminal.environment |= {"PYTHONPATH": str(TOY), "TOY_TOKEN": str(connection["token"])}
    terminal.configure(
        f'[connections.toy]\nsystem = "toy"\nbase_url = "{connection["base_url"]}"\ntoken = "env:TOY_TOKEN"\n'
    )
    person = {"first_name": "Ada", "last_name": "Byron", "email": "ada@example.com"}
    lms_of_toy.client.post(
        "/toy/people", json=person, headers={"Authorization": f"Bearer {connection['token']}"}
    ).raise_for_status()

    ran = terminal.type("run", terminal.roster("people.csv", [person | {"course_id": "fire-safety"}]), "--json")

    assert (ran.counts, ran.rows[0]["_candidate_id"]) == ({"registered": 1}, "ada-byron-1")


@pytest.mark.usefixtures("_toy")
def test_a_system_of_another_package_is_one_of_the_supported_ones():
    assert "toy" in lms.systems()
    assert lms.load_connector("toy").__name__ == "roster_toy.connector"


def test_the_skeleton_on_the_page_is_the_connector_that_is_tested():
    (skeleton,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

    assert skeleton == (TOY / "roster_toy" / "connector.py").read_text("utf-8")


def test_the_entry_points_on_the_page_are_those_of_the_package():
    (printed,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    installed = configparser.ConfigParser()
    installed.read(TOY / "roster_toy-1.0.dist-info" / "entry_points.txt", "utf-8")

    assert tomllib.loads(printed)["project"]["entry-points"] == {
        group: dict(installed[group]) for group in installed.sections()
    }


def test_the_page_lists_every_code_that_a_connector_of_roster_raises():
    listed = set(re.findall(r"`([a-z_]+)`", PAGE.partition("## Error codes")[2].partition("\n## ")[0]))
    sources = [path.read_text("utf-8") for path in (ROOT / "worker" / "lms").rglob("*.py")]
    raised = {text for source in sources for text in re.findall(r'"([a-z_]+)"', source)} & CODES.keys()

    assert raised - listed == set()


def test_a_connector_that_cannot_be_imported_is_named_with_its_entry_point(tmp_path, monkeypatch):
    package = tmp_path / "roster_broken-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: roster-broken\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[roster.connectors]\nbroken = roster_broken.connector\n")
    with toy_installed():
        monkeypatch.syspath_prepend(tmp_path)
        preload("sqlite:///roster.db")
        with pytest.raises(SettingsError, match=r"The connector of broken \(roster_broken\.connector\)"):
            lms.read_connection("north", {"system": "broken"})


@pytest.mark.parametrize(
    ("pattern", "text", "said"),
    [
        ("[0-9]+", "fire-safety", "enter the number that the LMS shows"),
        ("[a-z-]+", "Fire Safety", "enter the ID that the LMS shows"),
        ("[a-z-]+", "", "The ID is empty; enter the ID that the LMS shows"),
        ("[a-z-]+", "fire-safety", None),
    ],
)
def test_what_an_id_is_like_is_the_connectors_to_say(pattern, text, said):
    problem = id_problem(text, RowRules(id_pattern=pattern))

    assert (problem is None) if said is None else problem.endswith(f"{said}." if text else said)
