"""Start the process that reads a text file, and read its rows from the spool."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from worker.errors import UncertainEncoding, UnreadableRoster, UsageError
from worker.intake.child_process import run_child
from worker.intake.csv_files.process import TextFailed, TextRead, TextRequest
from worker.intake.excel.ipc import read_rows
from worker.private_files import scratch_file

#: The largest text file has four million rows, and takes a minute or two.
TIMEOUT_SECONDS = 600.0
_RESPONSE = msgspec.json.Decoder(TextRead | TextFailed)
_SPLIT = "Split the file, or save it as an Excel workbook (.xlsx)."


class SpooledText:
    """The rows of a text file that another process has read, in a spool file that is deleted with the object."""

    def __init__(self, spool: BinaryIO, notes: tuple[str, ...]) -> None:
        self._spool = spool
        weakref.finalize(self, spool.close)
        self.notes = notes

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield each record that is not empty, with its number."""
        for row in read_rows(self._spool.fileno()):
            yield row.row, list(row.cells)


def open_csv_in_child(path: Path, *, name: str, encoding: str | None = None) -> SpooledText:
    """Read a text file in a child process with limits of memory and time.

    Raises what `open_csv` and its records raise, and UnreadableRoster when the limits are reached.
    """
    spool = scratch_file()
    try:
        answer = _run_reader(path, spool.fileno(), TextRequest(name, encoding))
    except BaseException:
        spool.close()
        raise
    if isinstance(answer, TextFailed):
        spool.close()
        raise _error_of(answer)
    return SpooledText(spool, answer.notes)


def _error_of(failed: TextFailed) -> UnreadableRoster | UsageError:
    if failed.readings is not None:
        return UncertainEncoding(failed.message, failed.readings)
    return UsageError(failed.message) if failed.is_usage else UnreadableRoster(failed.message)


def _run_reader(path: Path, spool: int, request: TextRequest) -> TextRead | TextFailed:
    name = request.name
    done = run_child(
        "worker.intake.csv_files.process",
        [str(path.absolute()), str(spool)],
        spool=spool,
        stdin=msgspec.json.encode(request),
        timeout_seconds=TIMEOUT_SECONDS,
        name=name,
        reads="files",
        if_too_slow=_SPLIT,
    )
    try:
        answer: TextRead | TextFailed = _RESPONSE.decode(done.stdout)
    except msgspec.DecodeError:
        raise UnreadableRoster(
            f"{name}: the process that reads files ended without a response (exit {done.returncode}), so the file "
            f"needs too much memory. {_SPLIT}"
        ) from None
    return answer
