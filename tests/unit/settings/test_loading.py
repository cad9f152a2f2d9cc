"""roster.toml and ROSTER_*: merged, strict, and plain about what is wrong."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from worker import lms, settings
from worker.bootstrap import Services, read_settings
from worker.errors import SettingsError
from worker.settings import Connection, Settings, load

FULL = """
ledger = "sqlite:///ledger/roster.db"
files = "uploads"

[connections.north]
system = "tahdah"
base_url = "https://api.tahdah.me/"
token = "env:TAHDAH_TOKEN"
legal_entity_id = 42
behavior = 1
batch_size = 50
[connections.north.candidate_fields]
date_of_birth = "dob"

[connections.kmi]
system = "kmi"
base_url = "https://lms.example.com/api/v2/"
api_key = "k"
api_secret = "s"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty folder, with no setting in the environment."""
    for name in list(os.environ):
        if name.startswith("ROSTER_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TAHDAH_TOKEN", "hunter2")
    return tmp_path


@pytest.fixture
def config(folder: Path) -> Path:
    path = folder / "roster.toml"
    path.write_text(FULL, encoding="utf-8")
    return path


def connection_of(read: Settings, name: str | None = None) -> Connection:
    services = Services(settings=read, ledger=None, owner="")  # type: ignore[arg-type]
    return services.connection(name)


def said(config: Path, name: str | None = None) -> str:
    """Return the message for a configuration with an error."""
    with pytest.raises(SettingsError) as raised:
        connection_of(load(config), name)
    return str(raised.value)


def written(config: Path, text: str) -> Path:
    config.write_text(text, encoding="utf-8")
    return config


def changed(config: Path, old: str, new: str) -> Path:
    assert old in FULL
    return written(config, FULL.replace(old, new))


# Where it is read from


@pytest.mark.usefixtures("folder")
def test_without_a_file_everything_has_a_default() -> None:
    read = load(None)

    assert (read.ledger, read.files, read.broker) == ("sqlite:///roster.db", "roster-files", "")
    assert read.connections == {}


@pytest.mark.usefixtures("config")
def test_the_file_of_this_folder_is_read() -> None:
    assert set(load(None).connections) == {"north", "kmi"}


def test_the_file_that_the_environment_names_is_read(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = config.rename(config.with_name("other.toml"))
    monkeypatch.setenv("ROSTER_CONFIG", str(elsewhere))

    assert set(load(None).connections) == {"north", "kmi"}


def test_the_file_that_is_named_wins_over_the_environment(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROSTER_CONFIG", str(config.with_name("absent.toml")))

    assert load(config).connections


@pytest.mark.parametrize("by", ["option", "environment"])
def test_a_file_that_does_not_exist_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    absent = folder / "absent.toml"
    if by == "environment":
        monkeypatch.setenv("ROSTER_CONFIG", str(absent))

    with pytest.raises(SettingsError, match=r"absent\.toml does not exist"):
        load(absent if by == "option" else None)


@pytest.mark.parametrize("content", [b"ledger = ", b"\xff\xfe\x00", b"[connections.north\n"])
def test_a_file_that_is_no_toml_is_named_with_the_place(folder: Path, content: bytes) -> None:
    (folder / "roster.toml").write_bytes(content)

    with pytest.raises(SettingsError, match=r"roster\.toml cannot be read: "):
        load(None)


def test_a_byte_order_mark_is_no_trouble(config: Path) -> None:
    config.write_text("\ufeff" + FULL, encoding="utf-8")

    assert load(config).connections


def test_a_folder_instead_of_a_file_is_a_plain_message(folder: Path) -> None:
    with pytest.raises(SettingsError, match="is a folder; name the file in it"):
        load(folder)


def test_a_device_is_no_configuration() -> None:
    with pytest.raises(SettingsError, match="/dev/null is not a file"):
        load(Path("/dev/null"))


def test_a_file_in_another_encoding_is_to_be_saved_as_utf_8(config: Path) -> None:
    config.write_bytes(config.read_text("utf-8").encode("utf-16"))

    with pytest.raises(SettingsError, match=r"roster\.toml cannot be read: it is not UTF-8 text; save it as UTF-8"):
        load(config)


# Relative paths


def test_relative_paths_count_from_the_folder_of_the_file(
    config: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))

    read = load(config)

    assert read.ledger == f"sqlite:///{config.parent / 'ledger' / 'roster.db'}"
    assert Path(read.files) == config.parent / "uploads"


def test_a_relative_name_of_the_file_makes_no_relative_paths(config: Path) -> None:
    read = load(Path(config.name))

    assert Path(read.files).is_absolute()
    assert read.ledger.startswith("sqlite:////")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ledger", "sqlite:////var/lib/roster.db"),
        ("ledger", "sqlite:///:memory:"),
        ("ledger", "postgresql+psycopg://user@host/db"),
        ("files", "/var/lib/roster-files"),
        ("files", "s3://bucket/prefix"),
    ],
)
def test_what_is_no_relative_path_stays_as_it_is(config: Path, key: str, value: str) -> None:
    assert getattr(load(written(config, f'{key} = "{value}"')), key) == value


def test_defaults_count_from_the_folder_of_the_file_too(config: Path) -> None:
    assert load(written(config, "")).ledger == f"sqlite:///{config.parent / 'roster.db'}"


def test_the_file_of_a_secret_counts_from_the_folder_of_the_configuration_too(
    config: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Load says: relative paths count from the folder of the file, so that a job is found from any folder."""
    (config.parent / "token.txt").write_text("from-a-file\n", encoding="utf-8")
    changed(config, "env:TAHDAH_TOKEN", "file:token.txt")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))

    assert connection_of(load(config), "north").token.get_secret_value() == "from-a-file"  # type: ignore[attr-defined]


# The environment


def test_the_environment_wins_over_the_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROSTER_LEDGER", "sqlite:////elsewhere.db")
    monkeypatch.setenv("ROSTER_CONNECTIONS__NORTH__BASE_URL", "https://other.example.com")

    read = load(config)

    assert read.ledger == "sqlite:////elsewhere.db"
    assert connection_of(read, "north").base_url == "https://other.example.com"
    assert connection_of(read, "north").batch_size == 50
    assert connection_of(read, "kmi").base_url == "https://lms.example.com/api/v2"


@pytest.mark.parametrize(
    ("key", "value", "read_as"),
    [
        ("BATCH_SIZE", "7", 7),
        ("MAX_IN_FLIGHT", "3", 3),
        ("RATE", "20/second", "20/second"),
        ("ALLOW_HTTP", "true", True),
        ("TIMEOUT_SECONDS", "2.5", 2.5),
        ("BREAKER", "5", 5),
        ("LONGEST_PAUSE_SECONDS", "60", 60.0),
        ("LEGAL_ENTITY_ID", "43", "43"),
        ("REGISTRATION_PATH", "learners", "learners"),
        ("BEHAVIOR", "2", 2),
    ],
)
def test_every_key_of_a_connection_can_be_set_by_the_environment(
    config: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: str, read_as: Any
) -> None:
    monkeypatch.setenv(f"ROSTER_CONNECTIONS__NORTH__{key}", value)

    found = getattr(connection_of(load(config), "north"), key.lower())

    assert found == read_as


def test_a_table_within_a_connection_can_be_set_key_by_key(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROSTER_CONNECTIONS__NORTH__CANDIDATE_FIELDS__CITY", "town")

    found = connection_of(load(config), "north").candidate_fields  # type: ignore[attr-defined]

    assert found == {"date_of_birth": "dob", "city": "town"}


@pytest.mark.parametrize("secret", ["12345678", "true", "null", "[1]", '"quoted"', "1e5", "007", '{"a": 1}'])
def test_a_secret_in_the_environment_is_taken_to_the_letter(
    config: Path, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setenv("ROSTER_CONNECTIONS__KMI__API_SECRET", secret)

    assert connection_of(load(config), "kmi").api_secret.get_secret_value() == secret  # type: ignore[attr-defined]


def test_a_whole_connection_may_be_in_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in {"SYSTEM": "kmi", "BASE_URL": "https://x.org", "API_KEY": "k", "API_SECRET": "s"}.items():
        monkeypatch.setenv(f"ROSTER_CONNECTIONS__KMI__{key}", value)

    assert connection_of(load(None)).system == "kmi"


def test_a_connection_written_with_capitals_can_be_set_by_the_environment(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables have no case of their own, and a connection is found in any case."""
    changed(config, "connections.north", "connections.North")
    config.write_text(config.read_text("utf-8").replace("connections.north", "connections.North"), encoding="utf-8")
    monkeypatch.setenv("ROSTER_CONNECTIONS__NORTH__BATCH_SIZE", "7")

    assert connection_of(load(config), "north").batch_size == 7


@pytest.mark.parametrize(
    ("name", "value"),
    [("ROSTER_CONNECTIONS", "no json"), ("ROSTER_CONNECTIONS", "[1]"), ("ROSTER_CONNECTIONS__NORTH", "no json")],
)
def test_a_variable_that_cannot_be_read_is_a_plain_message(
    config: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    assert said(config, "north")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("ROSTER_LEGDER", "ROSTER_LEDGER"),
        ("ROSTER_SERVE_PORT", "ROSTER_SERVE__PORT"),
        ("ROSTER_SERVE__PROT", "ROSTER_SERVE__PORT"),
        ("ROSTER_CONNECTION__NORTH__TOKEN", "ROSTER_CONNECTIONS"),
    ],
)
def test_a_variable_of_ours_that_is_no_setting_is_an_error_with_the_nearest(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, nearest: str
) -> None:
    monkeypatch.setenv(name, "x")

    with pytest.raises(SettingsError, match=f"{name} is not a Roster setting; did you mean {nearest}"):
        settings.load(None)


def test_variables_that_are_used_or_set_by_a_container_platform_are_no_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = folder / "roster.toml"
    config.write_text('[connections.kmi]\nsystem = "kmi"\napi_key = "env:ROSTER_KMI_KEY"\n')
    monkeypatch.setenv("ROSTER_CONFIG", str(config))
    for name in (
        *("ROSTER_TOKEN", "ROSTER_KMI_KEY", "ROSTER_KMI_SECRET", "ROSTER_CONNECTIONS__NORTH__TOKEN"),
        *("ROSTER_SERVICE_HOST", "ROSTER_SERVICE_PORT_HTTP", "ROSTER_PORT_8000_TCP_ADDR"),
    ):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("ROSTER_PORT", "tcp://10.0.0.1:8000")
    monkeypatch.setenv("ROSTER_CONNECTIONS__KMI__API_SECRET", "env:ROSTER_KMI_SECRET")

    assert "kmi" in settings.load(None).connections


# Unknown keys


@pytest.mark.parametrize(
    ("old", "new", "key", "nearest"),
    [
        ('files = "uploads"', 'fils = "x"', "fils", "files"),
        ('files = "uploads"', "[serve]\nprot = 1", "serve.prot", "port"),
        ("batch_size = 50", "batchsize = 50", "connections.north.batchsize", "batch_size"),
        ("behavior = 1", "behaviour = 1", "connections.north.behaviour", "behavior"),
        ('api_key = "k"', 'api_key = "k"\napikey = "k"', "connections.kmi.apikey", "api_key"),
        ("batch_size = 50", "timeout = 5", "connections.north.timeout", "timeout_seconds"),
    ],
)
def test_an_unknown_key_is_an_error_that_names_the_nearest(
    config: Path, old: str, new: str, key: str, nearest: str
) -> None:
    text = said(changed(config, old, new), "kmi" if "kmi" in key else "north")

    assert f"unknown key {key}" in text
    assert f"did you mean {nearest}?" in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[connections.kmi]\nsystem = 'kmi'\napi_kee = 'env:NOPE'", "kmi.api_kee; did you mean api_key?"),
        ("[connections.kmi]\nsystem = 'kmi'\nname = 'x'", "connections.kmi.name; the name is the part after `conn"),
        ("[connections.kmi]\nsystm = 'kmi'", "unknown key connections.kmi.systm; did you mean system?"),
        ("[connections.kmi]\napi_key = 'x'", "connections.kmi.system is missing; write one of kmi, moodle, tahdah"),
        ("[connections.a]\nsystem = 'moodle'\nrol = 5", "unknown key connections.a.rol; did you mean role?"),
        ("[connections.a]\nsystem = 'tahdah'\ntokn = 'x'", "unknown key connections.a.tokn; did you mean token?"),
        ("[messages.a]\nkind = 'email'\nurl = 'x'", "unknown key messages.a.url; known are "),
        ("[messages.a]\nknd = 'email'", "unknown key messages.a.knd; did you mean kind?"),
        ("[messages.a]\nto = 'x'", "messages.a.kind is missing; write one of email, webhook"),
        ("[mail]\nhst = 'x'", "unknown key mail.hst; did you mean host?"),
    ],
)
def test_an_unknown_key_of_any_table_is_refused_before_the_table_is_used(
    folder: Path, text: str, message: str
) -> None:
    with pytest.raises(SettingsError, match=r"^The configuration: ") as raised:
        read_settings(written(folder / "roster.toml", text))

    assert message in str(raised.value)


def test_all_unknown_keys_are_named_at_once(folder: Path) -> None:
    text = "[connections.a]\nsystem = 'tahdah'\ntokn = 'x'\nbatchsize = 5\n[mail]\nhst = 'x'"

    with pytest.raises(SettingsError) as raised:
        read_settings(written(folder / "roster.toml", text))

    assert str(raised.value).count("unknown key") == 3


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", ["ROSTER_CONNECTIONS__KMI__TOKN", "roster_connections__kmi__tokn"])
def test_an_unknown_key_in_the_environment_is_refused_too(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("ROSTER_CONNECTIONS__KMI__SYSTEM", "kmi")
    monkeypatch.setenv(name, "x")

    with pytest.raises(SettingsError, match=r"unknown key connections\.kmi\.tokn"):
        read_settings(None)


def test_a_command_that_uses_no_connection_needs_no_secret(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TAHDAH_TOKEN")
    text = FULL + "[connections.other]\nsystem = 'of-another-package'\nwhatever = 1\n"

    assert set(read_settings(written(config, text)).connections) == {"north", "kmi", "other"}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("ROSTER_LEDGER__X", "ROSTER_LEDGER"),
        ("ROSTER_LOG__LEVEL", "ROSTER_LOG_LEVEL"),
        ("roster_legder", "ROSTER_LEDGER"),
        ("roster_config", "ROSTER_CONFIG"),
        ("ROSTER_SERVE__PROT", "ROSTER_SERVE__PORT"),
    ],
)
def test_an_unknown_variable_is_an_error_that_names_the_nearest(
    monkeypatch: pytest.MonkeyPatch, name: str, nearest: str
) -> None:
    monkeypatch.setenv(name, "x")

    with pytest.raises(SettingsError) as raised:
        load(None)

    assert str(raised.value) == f"The environment variable {name} is not a Roster setting; did you mean {nearest}?"


@pytest.mark.parametrize("table", ["connections", "folders", "messages"])
def test_a_table_needs_a_name(folder: Path, table: str) -> None:
    with pytest.raises(SettingsError, match=rf"a table of {table} has no name; write \[{table}\.NAME\]"):
        load(written(folder / "roster.toml", f'[{table}.""]\nx = 1'))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("connections = 3", "connections: must be a table of keys"),
        ("[connections]\nnorth = 3", "connections.north: must be a table of keys"),
        ("serve = 3", "serve: must be a table of keys"),
        ("files = ''", "files: must be a text that is not empty"),
        ("files = 3", "files: must be a text"),
        ("window = 'x'", "window: must be a whole number"),
        ("window = 1.5", "window: must be a whole number"),
        ("window = 0", "window: must be greater than or equal to 1"),
        ("sweep_seconds = 'x'", "sweep_seconds: must be a number"),
        ("log = 'xml'", "log: must be 'text' or 'json'"),
        ("[serve]\nopen_metrics = 'maybe'", "serve.open_metrics: must be true or false"),
        ("[serve]\nhost = ''", "serve.host: must be an address or a name of this machine"),
        ("[serve]\nhost = 'a b'", "serve.host: must be an address or a name of this machine"),
        ("[folders.a]\npath = ''", "folders.a.path: must be a text that is not empty"),
        ("[folders.a]\npath = 'x'\nset = 3", "folders.a.set: must be a table of keys"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_in_the_words_of_the_configuration(
    folder: Path, text: str, message: str
) -> None:
    with pytest.raises(SettingsError) as raised:
        load(written(folder / "roster.toml", text))

    assert message in str(raised.value)


def test_an_unknown_key_that_is_near_to_none_lists_those_there_are(config: Path) -> None:
    text = said(changed(config, "batch_size = 50", "xyzzy = 1"), "north")

    assert "known are" in text
    assert "batch_size" in text


def test_all_that_is_wrong_is_said_at_once(config: Path) -> None:
    text = said(changed(config, "batch_size = 50", "batch_size = 0\nmax_in_flight = 999\nrat = 1"), "north")

    assert all(key in text for key in ("batch_size", "max_in_flight", "rat"))


def test_an_unknown_system_names_those_there_are(config: Path) -> None:
    text = said(changed(config, 'system = "kmi"', 'system = "canvas"'), "kmi")

    assert "connections.kmi.system: 'canvas'" in text
    assert "kmi, moodle, tahdah" in text


@pytest.mark.parametrize("text", ["connections = 5", "[connections]\nnorth = 5", "connections = []"])
def test_connections_that_are_no_tables_are_a_plain_message(config: Path, text: str) -> None:
    assert "connections" in said(written(config, text))


# Addresses


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8089",
        "http://127.8.9.1",
        "http://localhost:1/api",
        "http://[::1]:8089",
        "http://lms.localhost",
        "https://lms.example.com",
    ],
)
def test_an_address_is_taken_that_keeps_the_secrets_to_itself(config: Path, url: str) -> None:
    changed(config, "https://lms.example.com/api/v2/", url)

    assert connection_of(load(config), "kmi").base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://lms.example.com",
        "http://10.0.0.1",
        "http://192.168.1.1",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "http://0.0.0.0",
        "HTTP://lms.example.com",
    ],
)
def test_http_beyond_this_machine_is_refused_unless_it_is_allowed(config: Path, url: str) -> None:
    changed(config, "https://lms.example.com/api/v2/", url)

    assert "allow_http = true" in said(config, "kmi")

    config.write_text(
        config.read_text("utf-8").replace('api_key = "k"', 'api_key = "k"\nallow_http = true'), "utf-8"
    )
    assert connection_of(load(config), "kmi").base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "lms.example.com",
        "ftp://lms.example.com",
        "https://",
        "",
        "https://lms example.com",
        "https://lms.example.com:99999",
        "https://lms.example.com:port",
        "https://[::1",
        "https://lms.example.com/api?key=1",
        "https://lms.example.com/api#part",
    ],
)
def test_an_address_that_cannot_be_called_is_refused_when_it_is_read(config: Path, url: str) -> None:
    changed(config, "https://lms.example.com/api/v2/", url)

    assert "connections.kmi" in said(config, "kmi")


def test_an_address_with_a_password_in_it_is_refused_and_never_shown(config: Path) -> None:
    """The HTTP library takes no call to such an address, and messages name the address."""
    changed(config, "https://lms.example.com", "https://me:hunter2@lms.example.com")

    assert "hunter2" not in said(config, "kmi")


def test_a_slash_at_the_end_of_an_address_makes_no_difference(config: Path) -> None:
    assert connection_of(load(config), "kmi").base_url == "https://lms.example.com/api/v2"


# Secrets


def test_a_secret_is_taken_from_the_environment_from_a_file_or_to_the_letter(config: Path) -> None:
    file = config.parent / "secret.txt"
    file.write_text("  from-a-file \n", encoding="utf-8")
    changed(config, 'api_secret = "s"', f'api_secret = "file:{file}"')
    read = load(config)

    assert connection_of(read, "north").token.get_secret_value() == "hunter2"  # type: ignore[attr-defined]
    assert connection_of(read, "kmi").api_secret.get_secret_value() == "from-a-file"  # type: ignore[attr-defined]
    assert connection_of(read, "kmi").api_key.get_secret_value() == "k"  # type: ignore[attr-defined]


def test_a_secret_to_the_letter_is_warned_of_and_one_that_is_pointed_to_is_not(config: Path) -> None:
    read = load(config)
    warned = {
        name: lms.literal_secrets(connection_of(read, name), read.connections[name]) for name in ("north", "kmi")
    }

    assert warned["north"] == []
    assert [warning.partition(" ")[0] for warning in warned["kmi"]] == [
        "connections.kmi.api_key",
        "connections.kmi.api_secret",
    ]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("env:NO_SUCH_VARIABLE", "the environment variable NO_SUCH_VARIABLE is not set"),
        ("file:/no/such/file", "the file /no/such/file cannot be read"),
        ("file:/", "cannot be read"),
    ],
)
def test_a_secret_that_is_not_where_it_should_be_says_where_it_was_looked_for(
    config: Path, value: str, words: str
) -> None:
    text = said(changed(config, "env:TAHDAH_TOKEN", value), "north")

    assert "connections.north.token" in text
    assert words in text


@pytest.mark.parametrize("content", [b"", b"  \n", b"\xff\xfe\x00", "tøken\n".encode(), b"two\nlines"])
def test_a_secret_that_no_header_can_carry_is_refused_when_it_is_read(config: Path, content: bytes) -> None:
    """Empty, or with letters or line ends that a header cannot hold: the LMS would never see it."""
    file = config.parent / "secret.txt"
    file.write_bytes(content)

    text = said(changed(config, "env:TAHDAH_TOKEN", f"file:{file}"), "north")

    assert "connections.north.token" in text
    assert "tøken" not in text


def test_an_empty_secret_is_refused(config: Path) -> None:
    assert "connections.kmi.api_secret" in said(changed(config, 'api_secret = "s"', 'api_secret = ""'), "kmi")


def test_no_secret_is_shown_by_settings_or_by_their_errors(config: Path) -> None:
    changed(config, 'api_secret = "s"', 'api_secret = "hunter2"\nbatch_size = "hunter2"')
    text = said(config, "kmi")

    assert "hunter2" not in text


def test_settings_do_not_show_the_literal_secrets_of_their_connections(config: Path) -> None:
    read = load(changed(config, 'api_secret = "s"', 'api_secret = "hunter2"'))

    assert "hunter2" not in f"{read!r} {read}"


# Connections


def test_without_a_connection_an_example_is_shown(folder: Path) -> None:
    text = said(written(folder / "roster.toml", ""))

    assert "No connection is configured" in text
    assert "[connections.north]" in text


def test_the_example_is_one_that_works(config: Path) -> None:
    assert connection_of(load(written(config, settings.EXAMPLE))).system == "tahdah"


def test_of_several_connections_one_must_be_named(config: Path) -> None:
    assert "--to NAME, one of kmi, north" in said(config)


def test_a_connection_that_does_not_exist_names_those_there_are(config: Path) -> None:
    assert "There is no connection 'south'; configured are kmi, north" in said(config, "south")


def test_the_only_connection_needs_no_name_and_any_case_will_do(config: Path) -> None:
    written(config, FULL.partition("[connections.kmi]")[0])

    assert connection_of(load(config)).name == "north"
    assert connection_of(load(config), "NORTH").name == "north"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("batch_size = 50", "batch_size = 0"),
        ("batch_size = 50", "batch_size = 1000000"),
        ("batch_size = 50", "max_in_flight = 0"),
        ("batch_size = 50", "timeout_seconds = 0"),
        ("batch_size = 50", "breaker = 1"),
        ("batch_size = 50", 'rate = "fast"'),
        ("batch_size = 50", 'rate = "0/second"'),
        ("batch_size = 50", 'rate = "-1/second"'),
        ("behavior = 1", "behavior = 3"),
        ("behavior = 1", 'registration_path = "students"'),
        ("behavior = 1", "timeout_seconds = nan"),
    ],
)
def test_a_value_out_of_bounds_is_refused_when_it_is_read_and_named(config: Path, old: str, new: str) -> None:
    assert f"connections.north.{new.partition(' ')[0]}" in said(changed(config, old, new), "north")


@pytest.mark.parametrize("rate", ["20/second", "100/minute", "1000/hour", "5/s", "2/10s"])
def test_a_rate_that_somebody_knows_is_taken(config: Path, rate: str) -> None:
    changed(config, "batch_size = 50", f'rate = "{rate}"')

    assert connection_of(load(config), "north").rate == rate


def test_settings_are_frozen(config: Path) -> None:
    read = load(config)

    with pytest.raises(ValidationError):
        read.ledger = "x"
    with pytest.raises(ValidationError):
        connection_of(read, "north").base_url = "x"


def test_secrets_are_secret_in_every_connector() -> None:
    for system in lms.systems():
        model = lms.load_connector(system).Settings
        secret = [name for name, field in model.model_fields.items() if field.annotation is SecretStr]
        assert secret, system
        for name in secret:
            assert model.model_fields[name].is_required(), f"{system}.{name} has a default"


@pytest.mark.parametrize(
    "value",
    ["nonsense", "*", "10.0.0.1/8", "127.0.0.1;10.0.0.1", "127.0.0.1, caddy", "0.0.0.0/0", "::/0", "300.1.1.1"],
)
def test_behind_proxy_takes_addresses_only(folder: Path, value: str) -> None:
    (folder / "roster.toml").write_text(f'[serve]\nbehind_proxy = "{value}"\n', encoding="utf-8")

    with pytest.raises(SettingsError, match=r"serve\.behind_proxy: .*(neither an IP address|every address)"):
        settings.load(None)


def test_behind_proxy_takes_several_addresses_and_networks(folder: Path) -> None:
    (folder / "roster.toml").write_text('[serve]\nbehind_proxy = "127.0.0.1, ::1,10.0.0.0/8"\n', encoding="utf-8")

    assert [str(each) for each in settings.load(None).serve.proxies] == ["127.0.0.1/32", "::1/128", "10.0.0.0/8"]
