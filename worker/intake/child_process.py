"""Run a module that reads a file in a child process with limits of memory, time and disk."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from worker.errors import UnreadableRoster
from worker.intake.limits import STOP_SIGNALS


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
    long.
    """
    command = [sys.executable, "-I", "-m", module, *arguments]
    try:
        while True:
            done = subprocess.run(  # noqa: S603 - our own module; no shell sees the arguments
                command,
                input=stdin,
                capture_output=True,
                pass_fds=() if spool is None else (spool,),
                timeout=timeout_seconds,
                check=False,
                start_new_session=True,
            )
            if -done.returncode not in STOP_SIGNALS:
                return done
    except subprocess.TimeoutExpired:
        raise UnreadableRoster(
            f"{name}: reading took longer than {timeout_seconds:.0f} seconds. {if_too_slow}"
        ) from None
    except (OSError, ValueError) as error:
        raise UnreadableRoster(f"{name}: the process that reads {reads} cannot be started ({error}).") from error
