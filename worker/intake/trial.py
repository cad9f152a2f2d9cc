"""Read a roster through in a child process, to tell a roster that ends its reader from one that was interrupted.

`python -I -m worker.intake.trial PATH`: a `TrialRequest` comes on standard input; the exit code is the response.
"""

from __future__ import annotations

import sys
from collections import deque
from pathlib import Path

import msgspec

from worker.errors import NothingSent, UnreadableRoster
from worker.intake.accept import open_with_options
from worker.intake.child_process import run_child
from worker.intake.limits import limit_this_process
from worker.intake.options import Options
from worker.intake.rows import parse_rows
from worker.model import RowRules

#: As long as the longest file may take.
TIMEOUT_SECONDS = 600.0
_NEEDS_TOO_MUCH_MEMORY = 3
_REMEDY = (
    "It is not read again. Open it in a spreadsheet program, save it as an Excel workbook (.xlsx) or as CSV UTF-8, "
    "and submit that"
)


class TrialRequest(msgspec.Struct, frozen=True):
    """How the roster is to be read: its original name, for messages, the options of the job and the LMS's rules."""

    name: str
    options: Options
    rules: RowRules


def try_reading(path: Path, name: str, options: Options, rules: RowRules) -> None:
    """Read all rows of a roster in a child process and keep none of them.

    Raises UnreadableRoster when the roster ends or freezes the child. What else is wrong with it, its import says.
    """
    done = run_child(
        "worker.intake.trial",
        [str(path.absolute())],
        stdin=msgspec.json.encode(TrialRequest(name, options, rules)),
        timeout_seconds=TIMEOUT_SECONDS,
        name=name,
        reads="rosters",
        if_too_slow=_REMEDY,
    )
    if done.returncode < 0 or done.returncode == _NEEDS_TOO_MUCH_MEMORY:
        raise UnreadableRoster(
            f"{name}: reading this roster ends the process that reads it (exit {done.returncode}), so it needs too "
            f"much memory or is damaged. {_REMEDY}"
        )


def main() -> None:
    """Read the roster that the command line names."""
    limit_this_process()
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=TrialRequest)
    options = request.options
    try:
        file, headings = open_with_options(Path(sys.argv[1]), request.name, options)
        parsed = parse_rows(
            file,
            headings,
            rules=request.rules,
            set_values=options.set_values,
            course=options.course,
            start_row=options.start_row,
            max_rows=options.max_rows,
            hidden_rows=options.hidden_rows,
        )
        deque(parsed, maxlen=0)
    except MemoryError:
        sys.exit(_NEEDS_TOO_MUCH_MEMORY)
    except NothingSent:
        sys.exit(0)


if __name__ == "__main__":
    main()
