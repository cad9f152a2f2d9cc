"""`roster` and `celery` as people start them: every command is an interpreter of its own.

The commands of all other tests are forks of a process that has imported everything (tests/fork_server.py). These
show that nothing depends on it.
"""

from __future__ import annotations

import re
import subprocess
import tomllib

import httpx
import pytest

from tests.conftest import LONGEST_SECONDS, ROSTER
from worker import __version__, lms

pytestmark = pytest.mark.console_script
PEOPLE = 20


@pytest.fixture
def terminal(office, lms):
    terminal = office(lms, batch_size=5, max_in_flight=4)
    terminal.people("roster.csv", PEOPLE)
    return terminal


@pytest.mark.parametrize(
    ("option", "said"), [("--version", f"roster, version {__version__}\n"), ("--help", "Usage: roster")]
)
def test_version_and_help_are_printed(office, option, said):
    result = office().type(option)

    assert result.code == 0
    assert result.out.startswith(said)
    assert result.err == ""


def test_bash_completes_connections_and_jobs(terminal):
    assert terminal.run("roster.csv").code == 0
    bash = [
        f'PATH="{ROSTER.parent}:$PATH"',
        'eval "$(roster completion bash)"',
        'complete_words() { COMPREPLY=(); _roster_completion roster; echo "${COMPREPLY[@]}"; }',
        'COMP_WORDS=(roster run --to ""); COMP_CWORD=3; complete_words',
        'COMP_WORDS=(roster status ""); COMP_CWORD=2; complete_words',
        """printf '[connections."south east"]\\nsystem = "kmi"\\n' >> roster.toml""",
        'COMP_WORDS=(roster run --to "so"); COMP_CWORD=3; complete_words',
    ]

    shown = subprocess.run(
        ["bash", "-c", "\n".join(bash)], cwd=terminal.folder, capture_output=True, text=True, check=True
    )

    assert (shown.stdout.splitlines(), shown.stderr) == (["north", "1", r"south\ east"], "")


def test_a_run_without_failed_rows_ends_with_0(terminal):
    result = terminal.run("roster.csv")

    assert (result.code, result.counts) == (0, {"registered": PEOPLE})


def test_a_run_with_a_rejected_row_ends_with_1(terminal, lms):
    lms.rules("create_candidate:reject:nth=3")

    result = terminal.run("roster.csv")

    assert result.code == 1
    assert result.counts["registered"] == PEOPLE - 1


def test_a_run_that_cannot_begin_ends_with_2(terminal, lms):
    result = terminal.type("run", "missing.csv")

    assert result.code == 2
    assert "missing.csv" in result.err
    assert lms.calls() == 0


def test_a_run_that_is_interrupted_ends_with_130(terminal, lms, wait_until):
    lms.rules("create_candidate:hold:after=4")
    running = terminal.start("run", "roster.csv", "--json")
    lms.until(lambda lms: lms.calls() > 3, "calls")

    running.interrupt()
    wait_until(lambda: "again" in running.err.read_text("utf-8"), "what the interrupt does")
    lms.rules()

    assert terminal.balanced(running.result()).code == 130
    assert terminal.resume(1).counts == {"registered": PEOPLE}


def test_a_run_that_was_killed_is_resumed(terminal, lms):
    lms.rules("create_candidate:hold:after=4")
    running = terminal.start("run", "roster.csv")
    lms.until(lambda lms: lms.calls() > 3, "calls")

    running.kill()

    assert running.process.returncode == -9
    lms.rules()
    result = terminal.resume(1)
    assert sum(result.counts.values()) == PEOPLE
    assert result.counts.get("in_doubt", 0) <= 4


def test_the_server_serves_until_it_gets_a_signal(terminal, web_server):
    served = web_server(terminal)

    assert served.run_to_end(terminal.folder / "roster.csv")["by_status"]["registered"] == PEOPLE

    served.running.process.terminate()
    assert served.running.over_within(LONGEST_SECONDS)
    assert served.running.process.returncode == 0


def test_the_sandbox_serves_until_it_is_interrupted(office, wait_until):
    running = office().start("sandbox", "--port", 0)
    said = []
    wait_until(
        lambda: said.extend(re.findall(r"http://[\d.:]+", running.out.read_text("utf-8"))) or said, "its address"
    )

    assert httpx.get(f"{said[0]}/sandbox/state").status_code == 200
    connections = tomllib.loads(running.out.read_text("utf-8"))["connections"]
    assert {each["system"] for each in connections.values()} == {"kmi", "moodle", "tahdah"}
    assert {name for name, each in connections.items() if lms.read_connection(name, each)} == set(connections)

    running.interrupt()
    assert running.over_within(LONGEST_SECONDS)


@pytest.mark.slow
def test_workers_and_beat_run_what_is_submitted(terminal, queue):
    line = queue(terminal)
    line.beat()
    worker = line.worker()

    (result,) = line.ended(line.submit("roster.csv"))

    assert (result.code, result.counts) == (0, {"registered": PEOPLE})
    assert worker.end() < LONGEST_SECONDS
    assert worker.process.returncode == 0
