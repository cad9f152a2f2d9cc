"""Processor time (user + system) of commands that only read a SQLite ledger, as a ratio to `roster --version`.

The commands run in turn, several rounds, so that the rest of the machine is the same for all; medians are compared.
`python -m tests.benchmarks.startup [rounds]`
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from worker.sandbox.server import make_state, running

ROSTER = Path(sys.executable).with_name("roster")
ROUNDS = 15
COMMANDS: dict[str, list[str]] = {
    "roster --version": [str(ROSTER), "--version"],
    "roster jobs": [str(ROSTER), "jobs"],
    "roster status 1": [str(ROSTER), "status", "1"],
    "roster schedule list": [str(ROSTER), "schedule", "list"],
    # What reading settings and a ledger cannot do without.
    "import of click, pydantic, sqlalchemy": [sys.executable, "-c", "import click, pydantic, sqlalchemy"],
}
CONNECTION = """\
[connections.north]
system = "tahdah"
base_url = "{url}"
token = "sandbox-token"
legal_entity_id = 42
behavior = 1
"""


def main(rounds: int = ROUNDS) -> None:
    """Print the medians and their ratios."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running(make_state()) as url:
            (folder / "roster.toml").write_text(CONNECTION.format(url=url), encoding="utf-8")
            (folder / "roster.csv").write_text(
                "email,first_name,last_name,course_id\na@example.com,A,B,58\n", "utf-8"
            )
            subprocess.run([ROSTER, "run", "roster.csv"], cwd=folder, check=True, capture_output=True)
        times: dict[str, list[float]] = {command: [] for command in COMMANDS}
        # The first round compiles the modules, as an installation does.
        for round_ in range(rounds + 1):
            for command, words in COMMANDS.items():
                seconds = _processor_seconds(words, folder)
                if round_:
                    times[command].append(seconds)
    least = statistics.median(times["roster --version"])
    for command, seconds in times.items():
        median = statistics.median(seconds)
        print(f"{command:<38} {median * 1000:6.0f} ms, ratio {median / least:5.2f}")  # noqa: T201


def _processor_seconds(words: list[str], folder: Path) -> float:
    """Run a command to its end and return the processor time it took."""
    environment = os.environ | {"PYTHONPYCACHEPREFIX": str(folder / "compiled"), "PYTHONDONTWRITEBYTECODE": ""}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(words, cwd=folder, env=environment, **quiet) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{words} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:2]))
