"""roster.toml and the environment, and what is reported about them: what, where, and how to fix it."""

from __future__ import annotations

import pytest

ROSTER = "email,first_name,last_name,course_id\nana@example.com,Ana,Ní,58\n"


@pytest.fixture
def terminal(office, lms):
    terminal = office(lms)
    terminal.write("roster.csv", ROSTER)
    return terminal


def refused(lms, result, *words):
    assert result.code == 2, (result.code, result.err)
    assert lms.calls() == 0
    assert [word for word in words if word not in result.err] == [], result.err
    assert "sandbox-token" not in result.err


def test_an_unknown_key_names_the_nearest_known_one(lms, terminal):
    terminal.connect(lms.url, "north", legal_entity=42)

    refused(lms, terminal.type("run", "roster.csv"), "legal_entity", "did you mean legal_entity_id?", "north")


def test_an_unknown_key_at_the_top_names_the_nearest_known_one(lms, terminal):
    terminal.configure('leger = "sqlite:///roster.db"\n')

    refused(lms, terminal.type("run", "roster.csv"), "leger", "did you mean ledger?", "roster.toml")


def test_a_configuration_that_is_not_toml_is_named_with_the_line(lms, terminal):
    terminal.configure("[connections.north\n")

    refused(lms, terminal.type("run", "roster.csv"), "roster.toml", "line 1")


def test_http_to_another_machine_is_refused(lms, terminal):
    terminal.connect("http://lms.example.com", "north")

    refused(lms, terminal.type("run", "roster.csv"), "http://", "https://", "allow_http")


def test_a_secret_from_a_variable_that_is_not_set_names_the_variable(lms, terminal):
    terminal.environment.clear()

    refused(lms, terminal.type("run", "roster.csv"), "SANDBOX_TOKEN", "token")


def test_a_literal_secret_is_taken_with_a_warning_that_does_not_show_it(lms, terminal):
    terminal.connect(lms.url, "north", token="sandbox-token")

    result = terminal.run("roster.csv")

    assert result.code == 0
    assert "connections.north.token" in result.err
    assert "sandbox-token" not in result.err + result.out


def test_a_secret_from_a_file_earns_no_warning(lms, terminal):
    token = terminal.write("token", "sandbox-token\n")
    terminal.connect(lms.url, "north", token=f"file:{token}")

    result = terminal.run("roster.csv")

    assert result.code == 0
    assert "Warning" not in result.err


def test_a_system_that_is_not_supported_lists_those_that_are(lms, terminal):
    terminal.connect(lms.url, "north", system="canvas")

    refused(lms, terminal.type("run", "roster.csv"), "canvas", "kmi, moodle, tahdah")


def test_without_a_configuration_an_example_is_shown(lms, terminal):
    (terminal.folder / "roster.toml").unlink()

    refused(lms, terminal.type("run", "roster.csv"), "roster.toml", "[connections.north]")


def test_a_connection_that_does_not_exist_lists_those_that_do(lms, terminal):
    refused(lms, terminal.type("run", "roster.csv", "--to", "south"), "south", "north")


def test_of_two_connections_one_must_be_named(lms, terminal):
    toml = (terminal.folder / "roster.toml").read_text("utf-8")
    terminal.configure(toml + toml.replace("north", "south"))

    refused(lms, terminal.type("run", "roster.csv"), "--to", "north", "south")
    assert terminal.run("roster.csv", "--to", "south").code == 0


def test_the_environment_wins_over_the_file(lms, terminal):
    terminal.connect("https://lms.invalid", "north")
    (terminal.folder / "roster.db").unlink()
    terminal.environment |= {"ROSTER_CONNECTIONS__NORTH__BASE_URL": lms.url, "ROSTER_LEDGER": "sqlite:///other.db"}

    assert terminal.run("roster.csv").code == 0
    assert (terminal.folder / "other.db").is_file()
    assert not (terminal.folder / "roster.db").exists()


def test_a_configuration_is_found_by_option_and_by_variable(lms, terminal):
    terminal.folder.joinpath("roster.toml").rename(terminal.folder / "mine.toml")

    assert terminal.type("--config", "mine.toml", "run", "roster.csv").code == 0
    terminal.environment["ROSTER_CONFIG"] = "mine.toml"
    assert terminal.run("roster.csv").counts == {"already_registered": 1}


def test_a_rate_that_cannot_be_read_is_refused_before_anything_is_sent(lms, terminal):
    terminal.connect(lms.url, "north", rate="plenty")

    refused(lms, terminal.type("run", "roster.csv"), "rate", "plenty")


def test_a_wrong_token_holds_the_job_until_it_is_fixed(lms, terminal):
    terminal.people("roster.csv", 60)
    terminal.environment["SANDBOX_TOKEN"] = "wrong"

    result = terminal.run("roster.csv")

    assert (result.code, result.state) == (3, "held")
    assert "token" in result.summary["reason"]
    assert lms.calls() <= 8, "only what was in flight"
    terminal.environment["SANDBOX_TOKEN"] = "sandbox-token"
    again = terminal.resume(result.job)
    assert (again.code, again.counts) == (0, {"registered": 60})


def test_a_path_that_does_not_exist_holds_the_job_and_names_the_other(office, sandbox):
    lms = sandbox(registration_paths=frozenset({"learners"}))
    terminal = office(lms)
    terminal.people("roster.csv", 30)

    result = terminal.run("roster.csv")

    assert (result.code, result.state) == (3, "held")
    assert "registration_path" in result.summary["reason"]
    assert lms.calls("register") + lms.calls("unknown") <= 3
    terminal.connect(lms.url, "north", registration_path="learners")
    again = terminal.resume(result.job)
    assert (again.code, again.counts) == (0, {"registered": 30})


def test_an_lms_that_is_down_is_reported_and_the_job_resumes_when_it_is_up(office, sandbox, people):
    terminal = office()
    terminal.connect("http://127.0.0.1:9", "kmi")
    terminal.roster("roster.csv", people(2, login_name=lambda number: f"login{number}"))

    result = terminal.type("run", "roster.csv", "--json")

    assert (result.code, result.state) == (3, "held")
    assert "cannot be reached" in result.summary["reason"]
    assert "base_url" in result.summary["reason"]
    assert result.counts == {"not_attempted": 2}
    assert [row["_attempts"] for row in result.rows] == ["0", "0"]
    terminal.lms = sandbox()
    terminal.connect(terminal.lms.url, "kmi")
    again = terminal.resume(result.job)
    assert (again.code, again.counts) == (0, {"registered": 2})


def test_the_doctor_finds_everything_in_order(lms, terminal):
    result = terminal.type("doctor")

    assert result.code == 0
    assert "FIX" not in result.out
    assert lms.changes.total() == 0
    checks = terminal.type("doctor", "--json").json
    assert {each["name"] for each in checks} >= {"configuration", "ledger", "files", "north"}
    assert {(each["status"], each["todo"]) for each in checks} == {("ok", None)}


@pytest.mark.parametrize("name", ["north", "kmi"])
def test_the_doctor_finds_a_wrong_credential(lms, office, name):
    terminal = office(lms, name)
    terminal.environment = dict.fromkeys(terminal.environment, "wrong")

    result = terminal.type("doctor")

    assert result.code == 2
    assert f"FIX  {name}" in result.out
    assert lms.changes.total() == 0
    failed = [each for each in terminal.type("doctor", "--json").json if each["status"] == "failed"]
    assert [(each["name"], bool(each["todo"])) for each in failed] == [(name, True)]


def test_the_doctor_reports_a_configuration_that_cannot_be_read_as_json_too(lms, terminal):
    terminal.configure('leger = "sqlite:///roster.db"\n')

    result = terminal.type("doctor", "--json")

    (check,) = result.json
    assert (result.code, check["name"], check["status"]) == (2, "configuration", "failed")
    assert "did you mean ledger?" in check["todo"]


@pytest.mark.parametrize("words", [["bake"], ["run"], ["run", "--speed"], ["status", "seven"]], ids=" ".join)
def test_a_command_mistyped_shows_its_usage(lms, terminal, words):
    refused(lms, terminal.type(*words), "Usage: roster")


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
def test_a_job_that_does_not_exist_is_reported(lms, terminal, words):
    refused(lms, terminal.type(*words), "no job 7", "roster jobs")


PASSWORD = "Xq7Zk9"
MALFORMED = [
    f"sqlite:////nowhere/db?password={PASSWORD}",
    f"sqlite:////tmp?password={PASSWORD}",
    f"postgresql+psycopg://u:{PASSWORD}@127.0.0.1:1/db",
    f"postgresql+psycopg://u:p@{PASSWORD}@127.0.0.1:1/db",
    f"postgresql+psycopg://u:{PASSWORD}@ss@localhost:1/db",
    f"postgresql+psycopg://u@h:{PASSWORD}",
    f"postgresql+psycopg://u:{PASSWORD}/x@h/db",
    f"postgresql+psycopg://u:{PASSWORD}#x@h/db",
    f"postgresql+psycopg://127.0.0.1:1/db?password={PASSWORD}",
    f"postgresql+psycopg://127.0.0.1:1/db?unknown={PASSWORD}",
    f"postgresql+psycopg://u:p@[{PASSWORD}/db",
    f"nothing://u:{PASSWORD}@h/db",
    f"u:{PASSWORD}@h/db",
    PASSWORD,
]


@pytest.mark.parametrize("key", ["ledger", "broker", "files"])
@pytest.mark.parametrize("address", MALFORMED)
def test_no_spelling_of_an_address_shows_its_password_or_is_unexpected(terminal, key, address):
    terminal.environment[f"ROSTER_{key.upper()}"] = address

    told = terminal.type("doctor")

    if key == "ledger":
        assert told.code == 2
        assert "ledger" in told.err
    elif key == "files" and "://" not in address:
        return  # a folder of that name
    assert PASSWORD not in told.out + told.err


@pytest.mark.parametrize(
    "broker", [f"redis://:{PASSWORD}/x@h:6379/0", f"redis://h:{PASSWORD}", f"redis://h:6379/{PASSWORD}", PASSWORD]
)
def test_a_broker_that_is_no_address_is_refused_with_what_to_write(lms, terminal, broker):
    terminal.environment["ROSTER_BROKER"] = broker

    refused(lms, terminal.type("submit", "roster.csv"), "broker", "redis://host:6379/0", "%40")
