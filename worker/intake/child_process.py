"""Run a module that reads a file in a child process with limits of memory, time and disk."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence

from worker.errors import UnreadableRoster
from worker.intake.abandonment import raise_if_abandoned
from worker.intake.limits import STOP_SIGNALS

#: How often it is checked whether the result is still needed (seconds).
CHECK_SECONDS = 0.2


def run_child(
    module: str,
    arguments: Sequence[str],
    *,
    spool: int | None = None,
    stdin: bytes = b"",
    timeout_seconds: float,
    name: str,
    reads: str,
    if_too_slow: str,
) -> subprocess.CompletedProcess[bytes]:
    """Run a module to its end; `spool` is a descriptor that it inherits, `name` that of the roster.

    It is run again when a signal ended it that was meant for Roster. `reads` is what it reads and `if_too_slow`
    what to do then, both for messages. Raises UnreadableRoster when the process cannot be started or takes too
    long, Abandoned when nobody waits for it any more.
    """
    command = [sys.executable, "-I", "-m", module, *arguments]
    try:
        while True:
            done = _run(command, stdin, () if spool is None else (spool,), timeout_seconds)
            if -done.returncode not in STOP_SIGNALS:
                return done
    except subprocess.TimeoutExpired:
        raise UnreadableRoster(
            f"{name}: reading took longer than {timeout_seconds:.0f} seconds. {if_too_slow}"
        ) from None
    except (OSError, ValueError) as error:
        raise UnreadableRoster(f"{name}: the process that reads {reads} cannot be started ({error}).") from error


def _run(
    command: Sequence[str], stdin: bytes, descriptors: Sequence[int], timeout_seconds: float
) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end; kill it when it takes too long, or nobody waits for it any more."""
    deadline = time.monotonic() + timeout_seconds
    with subprocess.Popen(  # noqa: S603 - our own module; no shell sees the arguments
        command,
        pass_fds=descriptors,
        start_new_session=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            written: bytes | None = stdin
            while True:
                raise_if_abandoned()
                try:
                    out, err = process.communicate(written, timeout=min(CHECK_SECONDS, timeout_seconds))
                except subprocess.TimeoutExpired:
                    # It writes the rest of what it was given at first.
                    written = None
                    if time.monotonic() > deadline:
                        raise
                else:
                    return subprocess.CompletedProcess(command, process.returncode, out, err)
        except BaseException:
            process.kill()
            raise
