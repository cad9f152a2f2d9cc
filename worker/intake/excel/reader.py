"""A spreadsheet → its rows, read by a child process under limits of memory and time.

A child and not a thread: some files of two kilobytes make the reader ask for hundreds of gigabytes and abort the
whole interpreter. Started anew and not forked, because the parent has threads and an event loop.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from worker.errors import UnreadableRoster
from worker.intake.excel import ipc
from worker.intake.file_type import Kind

LONGEST_SECONDS = 120.0
_ANSWER = msgspec.json.Decoder(ipc.SheetRead | ipc.SheetFailed)
_TOO_MUCH = (
    "the sheet needs too much memory: is there a stray cell far below the last row, or far to the right? Copy the "
    "rows that count into a new workbook and save that."
)


class Spreadsheet:
    """A sheet's rows in a spool file that vanishes with the object."""

    def __init__(self, spool: BinaryIO, read: ipc.SheetRead, *, kind: Kind) -> None:
        self._spool = spool
        weakref.finalize(self, spool.close)
        self.width = read.width
        self.bare_numbers = frozenset(read.bare_numbers)
        self.notes = tuple(_notes(read, kind))
        self.sheet, self.other_sheets = read.sheet, (*read.others, *read.hidden)

    def records(self) -> Iterator[ipc.SpoolRow]:
        """Yield the rows with data."""
        yield from ipc.read_rows(self._spool.fileno())


def open_spreadsheet(path: Path, kind: Kind, *, name: str, sheet: str | None = None) -> Spreadsheet:
    """Read one sheet of a workbook; raise UnreadableRoster when it cannot be done, or not within the limits."""
    spool = tempfile.TemporaryFile(prefix="roster-")  # noqa: SIM115 - it lives as long as the Spreadsheet
    try:
        with tempfile.TemporaryDirectory(prefix="roster-") as folder:
            # Calamine tells the kinds apart by extension; a stored copy may have any, or a wrong one.
            link = Path(folder) / f"roster.{kind}"
            link.symlink_to(path.resolve())
            answer = _run_child(link, kind, spool.fileno(), sheet or "", name=name)
    except BaseException:
        spool.close()
        raise
    if isinstance(answer, ipc.SheetFailed):
        spool.close()
        raise UnreadableRoster(f"{name}: {answer.message}")
    return Spreadsheet(spool, answer, kind=kind)


def _run_child(path: Path, kind: Kind, spool: int, sheet: str, *, name: str) -> ipc.SheetRead | ipc.SheetFailed:
    command = [sys.executable, "-I", "-m", "worker.intake.excel.process", str(path), kind.value, str(spool), sheet]
    try:
        done = subprocess.run(  # noqa: S603 - our own module; the sheet's name is an argument, no shell sees it
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=(spool,),
            timeout=LONGEST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UnreadableRoster(
            f"{name}: reading took longer than {LONGEST_SECONDS:.0f} s. As CSV UTF-8 it is read sooner; or "
            f"{_TOO_MUCH}"
        ) from None
    except (OSError, ValueError) as error:
        raise UnreadableRoster(
            f"{name}: the process that reads spreadsheets cannot be started ({error})."
        ) from error
    if done.returncode < 0:
        raise UnreadableRoster(f"{name}: {_TOO_MUCH}")
    try:
        answer: ipc.SheetRead | ipc.SheetFailed = _ANSWER.decode(done.stdout)
    except msgspec.DecodeError:
        raise UnreadableRoster(
            f"{name}: the process that reads spreadsheets ended without an answer (exit {done.returncode}). Is "
            "Roster installed for this Python? Otherwise save the roster as CSV UTF-8."
        ) from None
    return answer


def _notes(read: ipc.SheetRead, kind: Kind) -> Iterator[str]:
    yield f'Read as {kind.upper()}: sheet "{read.sheet}".'
    for sheets, what in ((read.others, "Not read"), (read.hidden, "Not read, because hidden")):
        if sheets:
            listed = ", ".join(f'"{sheet}"' for sheet in sheets)
            yield f"{what}: {listed}; use --sheet for one of them."
