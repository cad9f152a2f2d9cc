"""What `pip install` gives works: the built wheel with its own dependencies alone, outside the checkout."""

from __future__ import annotations

import os
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import servers, wheels
from tests.conftest import Result, wait_until
from tests.queues import Service

pytestmark = pytest.mark.slow

#: Between two sweeps (seconds).
SWEEP_SECONDS = "1"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheels.build_wheel(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> wheels.Installed:
    return wheels.install(wheel, tmp_path_factory.mktemp("installed") / "venv")


def test_the_wheel_has_the_list_of_common_passwords(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        common = archive.read("worker/accounts/common_passwords.txt").decode().splitlines()

    assert sum(len(line) >= 12 for line in common) > 300


@dataclass
class Terminal:
    """A folder outside the checkout in which the commands of the installed wheel are typed."""

    installed: wheels.Installed
    folder: Path
    services: ExitStack

    def roster(self, *words: str | Path) -> Result:
        done = subprocess.run(
            self.installed.command("roster", *words),
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def start(self, *words: str | Path, ready: str) -> Service:
        """Start a service and wait until its log says that it is ready; it is killed at the end of the test."""
        log = self.folder / f"{words[0]}.{words[-1]}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self.installed.command(*words),
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        service = Service(process, log)
        self.services.callback(service.close)
        wait_until(lambda: ready in service.said() or service.is_over, f"{ready!r} of {words[0]}")
        assert not service.is_over, service.said()
        return service

    def _environment(self) -> dict[str, str]:
        return os.environ | {"ROSTER_SWEEP_SECONDS": SWEEP_SECONDS, "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def terminal(installed: wheels.Installed, tmp_path: Path) -> Iterator[Terminal]:
    folder = tmp_path / "terminal"
    folder.mkdir()
    with ExitStack() as services:
        yield Terminal(installed, folder, services)


def test_the_wheel_has_the_samples_and_nothing_that_only_a_checkout_uses(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    samples = {name for name in names if name.startswith("worker/samples/")}
    here = {f"worker/samples/{path.name}" for path in (wheels.ROOT / "samples").glob("*.[cx]*")}
    packages = ("worker/", "tasks/", "roster-")
    assert samples == here
    assert [name for name in names if not name.startswith(packages)] == []
    assert [name for name in names if name.endswith((".sh", "Dockerfile", ".pyc"))] == []


def test_a_worker_of_the_wheel_works_a_submitted_roster_off(terminal: Terminal, redis_server, read_csv) -> None:
    lms = terminal.start("roster", "sandbox", "--port", str(servers.free_port()), ready="api_secret")
    connections = lms.said().partition("\n\n")[2]
    broker = f'broker = "{redis_server.connection_url}/0"\n'
    (terminal.folder / "roster.toml").write_text(broker + connections, "utf-8")

    terminal.start("celery", "-A", "worker", "worker", "--concurrency", "1", ready="ready.")
    terminal.start("celery", "-A", "worker", "beat", ready="beat: Starting")
    wait_until(lambda: terminal.roster("doctor", "--swept").code == 0, "the sweep")
    doctor = terminal.roster("doctor")
    job = terminal.roster(
        "submit", terminal.installed.packages / "worker/samples/tidy.csv", "--to", "north", "--json"
    ).json
    followed = terminal.roster("status", str(job["job"]), "--watch", "--json").json

    assert doctor.code == 0, doctor.out + doctor.err
    assert "1 worker online" in doctor.out
    assert followed["state"] == "succeeded"
    (results,) = (terminal.folder / "reports").glob("*.results.csv")
    assert [row["_status"] for row in read_csv(results)] == ["registered"] * followed["total"]


def test_the_demo_of_the_wheel_runs_through(terminal: Terminal) -> None:
    result = terminal.roster("demo")

    assert result.code == 0, result.err
    assert (terminal.folder / "roster-demo" / "reports" / "tidy.results.csv").is_file()
    assert f"run {terminal.installed.packages / 'worker/samples/tidy.csv'} --to north`" in result.out
