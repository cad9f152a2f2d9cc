"""Start commands of the tests by `tests.fork_server`, so that no command waits for its imports."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tests import fork_server
from tests.fork_server import ANSWER, HEAD, Command

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Read by the interpreter when it starts, so that a fork comes too late for them. Of these a fork can set anew:
AT_START, LATER = ("PYTHON", "LC_", "LANG"), {"PYTHONWARNINGS"}
#: No server of a test takes so long to import everything, on whatever machine (seconds).
LONGEST_START_SECONDS = 120.0


@dataclass(slots=True)
class Forked:
    """A command that the server has started; `subprocess.Popen`, as far as tests use it."""

    pid: int
    _answers: socket.socket
    returncode: int | None = None

    def poll(self) -> int | None:
        """Return the return code, or None while the command runs."""
        return self._await(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end. Raises subprocess.TimeoutExpired."""
        code = self._await(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the command is over."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _await(self, seconds: float | None) -> int | None:
        if self.returncode is None and is_ready(self._answers, seconds):
            with self._answers:
                self.returncode = receive_answer(self._answers)
        return self.returncode


@dataclass(slots=True)
class ForkServer:
    """The line to the server, which all test processes of a run share; started with the first command of all."""

    #: The address of an empty ledger on PostgreSQL in which it rehearses; empty for none.
    database: str = ""
    address: Path = field(default_factory=lambda: Path(tempfile.gettempdir()) / f"roster-forks-{run_id()}")
    _requests: socket.socket | None = None
    _at_start: dict[str, str] = field(default_factory=dict)

    def can_start(self, environment: Mapping[str, str]) -> bool:
        """Return whether the interpreter would start in this environment as the server's did."""
        return read_at_start(environment) == (self._at_start if self._requests else read_at_start(os.environ))

    def start(
        self,
        words: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdin: IO[bytes],
        stdout: IO[bytes],
        stderr: IO[bytes],
        start_new_session: bool = False,
    ) -> Forked:
        """Start a console script (its path and arguments) and return when it is about to run."""
        umask = os.umask(0)
        os.umask(umask)
        command = Command(words[0], list(words[1:]), str(cwd), dict(env), start_new_session, umask)
        packed = json.dumps(asdict(command)).encode()
        ours, theirs = socket.socketpair()
        with theirs:
            streams = [each.fileno() for each in (stdin, stdout, stderr)]
            socket.send_fds(self._server(), [HEAD.pack(len(packed))], [*streams, theirs.fileno()])
            self._server().sendall(packed)
        return Forked(receive_answer(ours), ours)

    def close(self) -> None:
        """End every command that still runs."""
        if self._requests:
            with self._requests:
                self._requests.shutdown(socket.SHUT_WR)
                # It closes its end when it has killed them.
                self._requests.recv(1)
            self._requests = None

    def _server(self) -> socket.socket:
        if self._requests is None:
            environment = {name: value for name, value in os.environ.items() if not name.startswith("ROSTER_")}
            self._at_start = read_at_start(environment)
            self._requests = socket.socket(socket.AF_UNIX)
            with fork_server.alone(self.address):
                try:
                    self._requests.connect(str(self.address))
                except (FileNotFoundError, ConnectionRefusedError):
                    self._start_server(environment)
                    self._requests.connect(str(self.address))
        return self._requests

    def _start_server(self, environment: Mapping[str, str]) -> None:
        self.address.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(self.address))
            listening.listen()
            subprocess.run(
                [sys.executable, fork_server.__file__, str(listening.fileno()), self.database],
                env=environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[listening.fileno()],
                check=True,
            )


def run_id() -> str:
    """Return what all test processes of this run have in common, and no others."""
    return os.environ.get("PYTEST_XDIST_TESTRUNUID") or f"{os.getpid()}-{time.monotonic_ns()}"


def read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that only an interpreter that starts would read."""
    return {name: value for name, value in environment.items() if name.startswith(AT_START) and name not in LATER}


def is_ready(answers: socket.socket, seconds: float | None) -> bool:
    """Wait for an answer, at most so long; `None` waits for as long as it takes."""
    poll = select.poll()
    poll.register(answers, select.POLLIN)
    return bool(poll.poll(None if seconds is None else max(0.0, seconds) * 1000))


def receive_answer(answers: socket.socket) -> int:
    """Return the next answer. Raises RuntimeError when the server has died."""
    packed = answers.recv(ANSWER.size, socket.MSG_WAITALL) if is_ready(answers, LONGEST_START_SECONDS) else b""
    if len(packed) < ANSWER.size:
        raise RuntimeError("the fork server does not answer; what it said is in pytest's output")
    (answer,) = ANSWER.unpack(packed)
    return int(answer)
