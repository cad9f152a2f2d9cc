"""roster.toml and the environment, and what is reported about them: what, where, and how to fix it."""

from __future__ import annotations

import pytest

ROSTER = "email,first_name,last_name,course_id\nana@example.com,Ana,Ní,58\n"


@pytest.fixture
def lms(sandbox):
    return sandbox()


@pytest.fixture
def desk(office, lms):
    desk = office(lms)
    desk.write("roster.csv", ROSTER)
    return desk


def refused(lms, result, *words):
    assert result.code == 2, (result.code, result.err)
    assert lms.calls() == 0
    assert [word for word in words if word not in result.err] == [], result.err
    assert "sandbox-token" not in result.err


def test_an_unknown_key_names_the_nearest_known_one(lms, desk):
    desk.connect(lms.url, "north", legal_entity=42)

    refused(lms, desk.type("run", "roster.csv"), "legal_entity", "did you mean legal_entity_id?", "north")


def test_an_unknown_key_at_the_top_names_the_nearest_known_one(lms, desk):
    desk.configure('leger = "sqlite:///roster.db"\n')

    refused(lms, desk.type("run", "roster.csv"), "leger", "did you mean ledger?", "roster.toml")


def test_a_configuration_that_is_not_toml_is_named_with_the_line(lms, desk):
    desk.configure("[connections.north\n")

    refused(lms, desk.type("run", "roster.csv"), "roster.toml", "line 1")


def test_http_to_another_machine_is_refused(lms, desk):
    desk.connect("http://lms.example.com", "north")

    refused(lms, desk.type("run", "roster.csv"), "http://", "https://", "allow_http")


def test_a_secret_from_a_variable_that_is_not_set_names_the_variable(lms, desk):
    desk.environment.clear()

    refused(lms, desk.type("run", "roster.csv"), "SANDBOX_TOKEN", "token")


def test_a_literal_secret_is_taken_with_a_warning_that_does_not_show_it(lms, desk):
    desk.connect(lms.url, "north", token="sandbox-token")

    result = desk.run("roster.csv")

    assert result.code == 0
    assert "connections.north.token" in result.err
    assert "sandbox-token" not in result.err + result.out


def test_a_secret_from_a_file_earns_no_warning(lms, desk):
    token = desk.write("token", "sandbox-token\n")
    desk.connect(lms.url, "north", token=f"file:{token}")

    result = desk.run("roster.csv")

    assert result.code == 0
    assert "Warning" not in result.err


def test_a_system_that_is_not_supported_lists_those_that_are(lms, desk):
    desk.connect(lms.url, "north", system="moodle")

    refused(lms, desk.type("run", "roster.csv"), "moodle", "kmi, tahdah")


def test_without_a_configuration_an_example_is_shown(lms, desk):
    (desk.folder / "roster.toml").unlink()

    refused(lms, desk.type("run", "roster.csv"), "roster.toml", "[connections.north]")


def test_a_connection_that_does_not_exist_lists_those_that_do(lms, desk):
    refused(lms, desk.type("run", "roster.csv", "--to", "south"), "south", "north")


def test_of_two_connections_one_must_be_named(lms, desk):
    toml = (desk.folder / "roster.toml").read_text("utf-8")
    desk.configure(toml + toml.replace("north", "south"))

    refused(lms, desk.type("run", "roster.csv"), "--to", "north", "south")
    assert desk.run("roster.csv", "--to", "south").code == 0


def test_the_environment_wins_over_the_file(lms, desk):
    desk.connect("https://lms.invalid", "north")
    (desk.folder / "roster.db").unlink()
    desk.environment |= {"ROSTER_CONNECTIONS__NORTH__BASE_URL": lms.url, "ROSTER_LEDGER": "sqlite:///other.db"}

    assert desk.run("roster.csv").code == 0
    assert (desk.folder / "other.db").is_file()
    assert not (desk.folder / "roster.db").exists()


def test_a_configuration_is_found_by_option_and_by_variable(lms, desk):
    desk.folder.joinpath("roster.toml").rename(desk.folder / "mine.toml")

    assert desk.type("--config", "mine.toml", "run", "roster.csv").code == 0
    desk.environment["ROSTER_CONFIG"] = "mine.toml"
    assert desk.run("roster.csv").counts == {"already_registered": 1}


def test_a_rate_that_cannot_be_read_is_refused_before_anything_is_sent(lms, desk):
    desk.connect(lms.url, "north", rate="plenty")

    refused(lms, desk.type("run", "roster.csv"), "rate", "plenty")


def test_a_wrong_token_holds_the_job_until_it_is_fixed(lms, desk):
    desk.people("roster.csv", 60)
    desk.environment["SANDBOX_TOKEN"] = "wrong"

    result = desk.run("roster.csv")

    assert (result.code, result.state) == (3, "held")
    assert "token" in result.summary["reason"]
    assert lms.calls() <= 8, "only what was in flight"
    desk.environment["SANDBOX_TOKEN"] = "sandbox-token"
    again = desk.resume(result.job)
    assert (again.code, again.counts) == (0, {"registered": 60})


def test_a_path_that_does_not_exist_holds_the_job_and_names_the_other(office, sandbox):
    lms = sandbox(registration_paths=frozenset({"learners"}))
    desk = office(lms)
    desk.people("roster.csv", 30)

    result = desk.run("roster.csv")

    assert (result.code, result.state) == (3, "held")
    assert "registration_path" in result.summary["reason"]
    assert lms.calls("register") + lms.calls("unknown") <= 3
    desk.connect(lms.url, "north", registration_path="learners")
    again = desk.resume(result.job)
    assert (again.code, again.counts) == (0, {"registered": 30})


def test_an_lms_that_is_down_is_reported_and_the_job_resumes_when_it_is_up(office, sandbox, people):
    desk = office()
    desk.connect("http://127.0.0.1:9", "kmi")
    desk.roster("roster.csv", people(2, login_name=lambda number: f"login{number}"))

    result = desk.type("run", "roster.csv", "--json")

    assert (result.code, result.state) == (3, "held")
    assert "cannot be reached" in result.summary["reason"]
    assert "base_url" in result.summary["reason"]
    assert result.counts == {"not_attempted": 2}
    assert [row["_attempts"] for row in result.rows] == ["0", "0"]
    desk.lms = sandbox()
    desk.connect(desk.lms.url, "kmi")
    again = desk.resume(result.job)
    assert (again.code, again.counts) == (0, {"registered": 2})


def test_the_doctor_finds_everything_in_order(lms, desk):
    result = desk.type("doctor")

    assert result.code == 0
    assert "FIX" not in result.out
    assert lms.changes.total() == 0


@pytest.mark.parametrize("name", ["north", "kmi"])
def test_the_doctor_finds_a_wrong_credential(lms, office, name):
    desk = office(lms, name)
    desk.environment = dict.fromkeys(desk.environment, "wrong")

    result = desk.type("doctor")

    assert result.code == 2
    assert f"FIX  {name}" in result.out
    assert lms.changes.total() == 0


@pytest.mark.parametrize("words", [["bake"], ["run"], ["run", "--speed"], ["status", "seven"]], ids=" ".join)
def test_a_command_mistyped_shows_its_usage(lms, desk, words):
    refused(lms, desk.type(*words), "Usage: roster")


@pytest.mark.parametrize(
    "words",
    [
        ["status", "7"],
        ["report", "7"],
        ["resume", "7"],
        ["retry", "7"],
        ["pause", "7"],
        ["cancel", "7"],
        ["resolve", "7", "2", "--absent"],
    ],
    ids=" ".join,
)
def test_a_job_that_does_not_exist_is_reported(lms, desk, words):
    refused(lms, desk.type(*words), "no job 7", "roster jobs")
