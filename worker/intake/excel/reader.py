"""Read the rows of a spreadsheet in a child process with limits of memory and time.

A process and not a thread: some files of two kilobytes make the reader request hundreds of gigabytes, which aborts
the whole interpreter. It is started and not forked, because the parent has threads and an event loop.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from worker.errors import UnreadableRoster
from worker.intake.child_process import run_child
from worker.intake.excel import ipc
from worker.intake.file_type import FileType
from worker.private_files import scratch_file, scratch_folder

TIMEOUT_SECONDS = 120.0
_RESPONSE = msgspec.json.Decoder(ipc.SheetRead | ipc.SheetFailed)
_TOO_MUCH_MEMORY = (
    "the sheet needs too much memory. Is there a cell far below the last row, or far to the right? Copy the rows "
    "that you need into a new workbook and save that."
)


class Spreadsheet:
    """A sheet's rows in a spool file that is deleted with the object."""

    def __init__(self, spool: BinaryIO, read: ipc.SheetRead, *, kind: FileType) -> None:
        self._spool = spool
        weakref.finalize(self, spool.close)
        self.width = read.width
        self.is_1904 = read.is_1904
        self.has_hidden_rows = read.has_hidden_rows
        self.hidden_columns = read.hidden_columns
        self.notes = tuple(_notes(read, kind))
        self.sheet, self.other_sheets = read.sheet, (*read.others, *read.hidden)

    def records(self) -> Iterator[ipc.SpoolRow]:
        """Yield the rows with data."""
        yield from ipc.read_rows(self._spool.fileno())


def open_spreadsheet(path: Path, kind: FileType, *, name: str, sheet: str | None = None) -> Spreadsheet:
    """Read one sheet of a workbook; raise UnreadableRoster when it cannot be read within the limits."""
    spool = scratch_file()
    try:
        with scratch_folder() as folder:
            # Calamine detects the type by the extension; that of a stored copy may be wrong.
            link = folder / f"roster.{kind}"
            link.symlink_to(path.resolve())
            answer = _run_reader(link, kind, spool.fileno(), sheet or "", name=name)
    except BaseException:
        spool.close()
        raise
    if isinstance(answer, ipc.SheetFailed):
        spool.close()
        raise UnreadableRoster(f"{name}: {answer.message}")
    return Spreadsheet(spool, answer, kind=kind)


def _run_reader(
    path: Path, kind: FileType, spool: int, sheet: str, *, name: str
) -> ipc.SheetRead | ipc.SheetFailed:
    done = run_child(
        "worker.intake.excel.process",
        [str(path), kind.value, str(spool), sheet],
        spool=spool,
        timeout_seconds=TIMEOUT_SECONDS,
        name=name,
        reads="spreadsheets",
        if_too_slow=f"Save it as CSV UTF-8, which is read faster; or {_TOO_MUCH_MEMORY}",
    )
    if done.returncode < 0:
        raise UnreadableRoster(f"{name}: {_TOO_MUCH_MEMORY}")
    try:
        answer: ipc.SheetRead | ipc.SheetFailed = _RESPONSE.decode(done.stdout)
    except msgspec.DecodeError:
        raise UnreadableRoster(
            f"{name}: the process that reads spreadsheets ended without a response (exit {done.returncode}). Is "
            "Roster installed for this Python? Otherwise save the roster as CSV UTF-8."
        ) from None
    return answer


def _notes(read: ipc.SheetRead, kind: FileType) -> Iterator[str]:
    yield f'{kind.upper()}: sheet "{read.sheet}".'
    for sheets, what in ((read.others, "Sheets not read"), (read.hidden, "Hidden sheets not read")):
        if sheets:
            listed = ", ".join(f'"{sheet}"' for sheet in sheets)
            yield f"{what}: {listed}; use --sheet to read one of them."
