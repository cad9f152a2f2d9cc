"""The body of `init`: ask for what roster.toml needs, and write it with a comment for each key."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pydantic import SecretStr

from worker import lms
from worker.cli.options import must_ask
from worker.errors import SettingsError, UsageError
from worker.settings import Connection, Settings
from worker.settings.loading import suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pydantic.fields import FieldInfo

#: The first choice, when it is supported.
USUAL_SYSTEM, USUAL_NAME = "tahdah", "north"
COMMENT_COLUMN = 34
#: Where an LMS is that has no address of its own.
EXAMPLE_URL = "https://lms.example.com"
_NAME = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: Keys that every connection has, and that are worth a line in a new file.
_COMMON_KEYS = {
    "batch_size": "rows for each task, and for each call if the LMS takes several",
    "max_in_flight": "calls at the same time",
}
_HEAD = """\
# The configuration of Roster. `roster doctor` checks it; docs/configuration.md explains every key.
# Each key can also be set by the environment: ROSTER_LEDGER, ROSTER_CONNECTIONS__NORTH__BASE_URL, …

# The SQL database with all jobs, rows and outcomes. Keep it: it prevents a person from being registered twice.
# For several machines: postgresql+psycopg://user@host/db
ledger = {ledger}

# Where uploaded rosters and the reports of the page are stored: a folder, or an address such as s3://bucket/prefix
files = "roster-files"

# redis://host:6379/0 for workers. Empty: `roster run` and `roster serve` run the jobs themselves.
broker = {broker}
"""
_SERVE = """
# The page and the API: `roster serve`.
[serve]
#host = "127.0.0.1"           # another address needs an account: roster user add NAME --role admin
#port = 8000
#public_url = "https://roster.example.com"

# A drop folder: a roster that is put there is imported, and ends in done/ or failed/.
#[folders.inbox]
#path = "/srv/rosters"
#connection = {name}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What was answered; the values are those of the keys of the connection."""

    name: str
    system: str
    values: dict[str, Any]
    ledger: str
    broker: str


def run_init(config: Path | None, *, system: str | None, yes: bool, force: bool) -> None:
    """Write roster.toml, or the file that --config or $ROSTER_CONFIG names. Raises UsageError."""
    path = config or Path(os.environ.get("ROSTER_CONFIG") or "roster.toml")
    if system is not None and system not in lms.systems():
        raise UsageError(f"--system {system!r} is not supported{suggestion(system, set(lms.systems()))}")
    _check_place(path, yes=yes, force=force)
    answers = default_answers(system or _usual_system()) if yes else _ask_all(system)
    try:
        path.write_text(configuration(answers), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
    _print_next_steps(path, answers)


def _check_place(path: Path, *, yes: bool, force: bool) -> None:
    """Refuse to replace a file, unless a person agrees. Raises UsageError or click.Abort."""
    if not path.absolute().parent.is_dir():
        raise UsageError(f"There is no folder {path.absolute().parent}")
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file with --config")
    if not path.exists() or force:
        return
    if not must_ask(is_confirmed=yes):
        raise UsageError(
            f"{path} exists and was not changed; --force replaces it, --config FILE names another file"
        )
    if not click.confirm(f"{path} exists. Replace it?", err=True):
        click.echo("Nothing was changed", err=True)
        raise click.Abort


def _usual_system() -> str:
    systems = lms.systems()
    return USUAL_SYSTEM if USUAL_SYSTEM in systems else systems[0]


def default_answers(system: str) -> Answers:
    """Return the answers for a system when nothing is asked."""
    name = USUAL_NAME if system == USUAL_SYSTEM else system
    keys = _own_keys(system)
    required = {
        key: f"env:{_variable(system, key)}" if _is_secret(field) else _example(field) or ""
        for key, field in keys.items()
        if field.is_required()
    }
    return Answers(
        name=name,
        system=system,
        values={"base_url": _base_url(system), **required},
        ledger=str(Settings.model_fields["ledger"].default),
        broker="",
    )


def _ask_all(system: str | None) -> Answers:
    """Ask for everything, on standard error. Raises UsageError when the answers end before the last question."""
    try:
        return _ask(system)
    except click.Abort:
        if sys.stdin is not None and sys.stdin.isatty():
            raise
        raise UsageError("The answers ended before the last question; --yes takes the defaults") from None


def _ask(system: str | None) -> Answers:
    choices = lms.systems()
    system = system or click.prompt(
        "Your LMS", type=click.Choice(choices), default=_usual_system(), show_choices=True, err=True
    )
    usual = default_answers(system)
    name = _prompt("A name for this connection", usual.name, _check_name)
    values: dict[str, Any] = {}
    while True:
        values["base_url"] = _prompt("The address of its API", str(usual.values["base_url"]))
        for key, field in _own_keys(system).items():
            values |= _ask_key(system, key, field)
        try:
            _check(name, system, values)
            break
        except SettingsError as error:
            click.echo(f"{error}. Answer again", err=True)
    ledger = _prompt("The ledger: an SQL database", usual.ledger, _check_ledger)
    broker = _prompt("The broker: redis://… for workers; empty for none", "", _check_broker)
    return Answers(name=name, system=system, values=values, ledger=ledger, broker=broker)


def _ask_key(system: str, key: str, field: FieldInfo) -> dict[str, Any]:
    """Ask for a key of a connector's own that has no default; an empty answer leaves an optional one out."""
    if _is_secret(field):
        if not field.is_required():
            return {}
        question = f"{key}: the environment variable that has it, or file:/path"
        return {key: _prompt(question, _variable(system, key), _check_secret)}
    if not field.is_required() and field.default is not None:
        return {}
    optional = "" if field.is_required() else " (empty: none)"
    answer = _prompt(f"{key}{optional}", "")
    return {key: int(answer) if answer.isdecimal() else answer} if answer or field.is_required() else {}


def _prompt(question: str, default: str, check: Callable[[str], str] = str.strip) -> str:
    """Ask until the answer is accepted."""
    answer: str = click.prompt(question, default=default, value_proc=check, err=True, show_default=bool(default))
    return answer


def _check_name(text: str) -> str:
    if not _NAME.fullmatch(text.strip()):
        raise click.UsageError("write lower-case letters, digits, - and _ only, such as north or kmi-test")
    return text.strip()


def _check_ledger(text: str) -> str:
    if not text.strip().startswith(("sqlite:", "postgresql")):
        raise click.UsageError("write sqlite:///roster.db or postgresql+psycopg://user@host/db")
    return text.strip()


def _check_broker(text: str) -> str:
    if text.strip() and not text.strip().startswith(("redis://", "rediss://")):
        raise click.UsageError("write redis://host:6379/0, or nothing")
    return text.strip()


def _check_secret(text: str) -> str:
    """Return where a secret is; refuse what looks like the secret itself."""
    text = text.strip()
    if text.startswith("file:") or (text.startswith("env:") and _VARIABLE.fullmatch(text.removeprefix("env:"))):
        return text
    if not _VARIABLE.fullmatch(text):
        raise click.UsageError("name an environment variable or file:/path; the secret itself does not belong here")
    return f"env:{text}"


def _check(name: str, system: str, values: dict[str, Any]) -> None:
    """Check a connection, as if its secrets were there. Raises SettingsError."""
    keys = _own_keys(system)
    filled = {key: "secret" if key in keys and _is_secret(keys[key]) else value for key, value in values.items()}
    lms.read_connection(name, {"system": system, **filled})


def _own_keys(system: str) -> dict[str, FieldInfo]:
    """Return the keys that only this system has."""
    model: type[Connection] = lms.load_connector(system).Settings
    return {key: field for key, field in model.model_fields.items() if key not in Connection.model_fields}


def _is_secret(field: FieldInfo) -> bool:
    return SecretStr.__name__ in str(field.annotation)


def _base_url(system: str) -> str:
    model: type[Connection] = lms.load_connector(system).Settings
    field = model.model_fields["base_url"]
    return str((None if field.is_required() else field.default) or _example(field) or EXAMPLE_URL)


def _example(field: FieldInfo) -> object:
    return next(iter(field.examples or ()), None)


def _variable(system: str, key: str) -> str:
    return f"{system}_{key}".upper()


def configuration(answers: Answers) -> str:
    """Return the text of roster.toml: the connection that was asked for; one of each other system as a comment."""
    parts = [_HEAD.format(ledger=json.dumps(answers.ledger), broker=json.dumps(answers.broker))]
    parts.append(f"\n# An account on an LMS. Supported are {', '.join(lms.systems())}.\n{_table(answers)}")
    for system in lms.systems():
        if system != answers.system:
            lines = _table(default_answers(system)).splitlines()
            parts.append("\n" + "".join(f"#{line.removeprefix('#')}\n" for line in lines))
    parts.append(_SERVE.format(name=json.dumps(answers.name)))
    return "".join(parts)


def _table(answers: Answers) -> str:
    """Return the table of a connection; keys that have a default are comments."""
    own = _own_keys(answers.system)
    lines = [f"[connections.{answers.name}]", f"system = {json.dumps(answers.system)}"]
    for key, value in answers.values.items():
        is_secret = key in own and _is_secret(own[key])
        lines.append(_line(key, value, "or file:/path" if is_secret else ""))
    for key, field in own.items():
        value = _example(field) if field.default is None else field.default
        if key not in answers.values and isinstance(value, str | int | float) and not _is_secret(field):
            lines.append(_line(f"#{key}", value, "" if field.default is not None else "no default"))
    for key, meaning in _COMMON_KEYS.items():
        default = lms.load_connector(answers.system).Settings.model_fields[key].default
        lines.append(_line(f"#{key}", default, meaning))
    lines.append(_line("#rate", "20/second", "a limit that you know; without it, the speed is measured"))
    return "\n".join(lines) + "\n"


def _line(key: str, value: object, comment: str) -> str:
    assignment = f"{key} = {_toml(value)}"
    return f"{assignment:<{COMMENT_COLUMN}}# {comment}" if comment else assignment


def _toml(value: object) -> str:
    """Return a text, number or switch as TOML writes it; its texts are written as those of JSON."""
    return json.dumps(value, ensure_ascii=False)


def _print_next_steps(path: Path, answers: Answers) -> None:
    variables = [
        str(value).removeprefix("env:") for value in answers.values.values() if str(value).startswith("env:")
    ]
    click.echo(f"{path} was written.")
    if missing := _empty_keys(answers):
        click.echo(f"Fill in {', '.join(missing)} there.")
    if unset := [name for name in variables if not os.environ.get(name)]:
        click.echo(f"Set {' and '.join(unset)} in the environment.")
    click.echo(f"Then check it: roster {'' if path == Path('roster.toml') else f'--config {path} '}doctor")


def _empty_keys(answers: Answers) -> Sequence[str]:
    return [key for key, value in answers.values.items() if value == ""]
