"""A command that only reads the ledger loads what reading needs, and starts quickly."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from worker.cli.options import HIDDEN_ROWS
from worker.model import HiddenRows

#: What `roster jobs` has no use for, on SQLite; together they took longer to load than all that it needs.
UNUSED = {
    "alembic",
    "celery",
    "cchardet",
    "email_validator",
    "httpx",
    "msgspec",
    "openpyxl",
    "psycopg",
    "rich",
    "sqlalchemy.dialects.postgresql",
    "starlette",
    "structlog",
    "worker.intake.accept",
    "worker.jobs.reporting",
    "worker.registration",
    "worker.runtime",
}
#: What `--help` needs none of: no settings, no ledger, no event loop.
UNUSED_BY_HELP = {
    "asyncio",
    "difflib",
    "secrets",
    "worker.ledger",
    "worker.model",
    "worker.reports",
    "worker.settings",
}
SHOW_MODULES = """
import contextlib, io, json, sys
from worker.cli.main import roster
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit, Exception):
    roster.main(sys.argv[1:], standalone_mode=False)
print(json.dumps(list(sys.modules)))
"""


def modules_of(folder, *words):
    """Return the modules that a command imports."""
    command = [sys.executable, "-c", SHOW_MODULES, *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("command", ["jobs", "status 1", "schedule list"])
def test_a_command_that_only_reads_loads_nothing_else(office, command):
    modules = modules_of(office().folder, *command.split())

    assert "sqlite3" in modules
    assert sorted(UNUSED & modules) == []


def test_the_choices_of_hidden_rows_are_those_of_the_model():
    assert tuple(HiddenRows) == HIDDEN_ROWS


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_help_needs_only_the_command_line(tmp_path, option):
    assert sorted(UNUSED_BY_HELP & modules_of(tmp_path, option)) == []
