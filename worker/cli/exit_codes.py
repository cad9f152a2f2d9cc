"""The exit codes of commands."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.model import JobState


class ExitCode(IntEnum):
    """How a command ended."""

    #: Every row is done.
    DONE = 0
    #: The job has ended, and some rows are not done.
    NOT_DONE = 1
    #: The file, the options or the configuration must be fixed.
    NOTHING_SENT = 2
    #: The job stopped before its end and waits for a person.
    STOPPED = 3
    INTERRUPTED = 130


def exit_code(state: JobState) -> ExitCode:
    """Return the exit code for the state in which a command leaves a job."""
    from worker.model import JobState

    ends = {JobState.SUCCEEDED: ExitCode.DONE, JobState.INVALID: ExitCode.NOTHING_SENT}
    return ends.get(state, ExitCode.NOT_DONE if state.has_ended else ExitCode.STOPPED)
