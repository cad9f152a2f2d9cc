"""Messages between the process that reads a spreadsheet and its parent: rows in a spool file, a response on a pipe.

msgspec and not pickle, because the child has read a file that may be hostile. The spool lets the parent read the
rows any number of times, while the workbook is read once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import msgspec

from worker.intake.abandonment import raise_if_abandoned

#: The size of the length field before each frame.
_LENGTH_BYTES = 4
ROWS_PER_FRAME = 500
#: A frame is decoded at once, while no other thread runs.
CHARACTERS_PER_FRAME = 2**20


class SpoolRow(msgspec.Struct, array_like=True, frozen=True, omit_defaults=True):
    """A row with data: its number, its cells, what is wrong with some of them (position → code), and details.

    The detail of a cell is the exact number under the text that its format shows, or the format that is not known.
    """

    row: int
    cells: tuple[str, ...]
    flaws: dict[int, str] = {}
    details: dict[int, str] = {}
    is_hidden: bool = False


class SheetRead(msgspec.Struct, tag=True, frozen=True):
    """The child's response: all rows are in the spool."""

    sheet: str
    #: Other sheets with data, and hidden ones.
    others: tuple[str, ...]
    hidden: tuple[str, ...]
    #: The greatest number of cells in a row.
    width: int
    #: Whether the serial numbers of its dates begin in 1904.
    is_1904: bool = False
    #: Whether a row with data is hidden.
    has_hidden_rows: bool = False
    #: Positions of the hidden columns.
    hidden_columns: tuple[int, ...] = ()


class SheetFailed(msgspec.Struct, tag=True, frozen=True):
    """The child's response: a sentence that says why there are no rows."""

    message: str


_ENCODE = msgspec.msgpack.Encoder()
_DECODE = msgspec.msgpack.Decoder(list[SpoolRow])


def write_rows(descriptor: int, rows: Iterable[SpoolRow]) -> None:
    """Write rows to the spool."""
    with os.fdopen(descriptor, "wb") as spool:
        for frame in _frames(rows):
            body = _ENCODE.encode(frame)
            spool.write(len(body).to_bytes(_LENGTH_BYTES))
            spool.write(body)


def _frames(rows: Iterable[SpoolRow]) -> Iterator[list[SpoolRow]]:
    frame: list[SpoolRow] = []
    characters = 0
    for row in rows:
        frame.append(row)
        characters += sum(map(len, row.cells))
        if len(frame) == ROWS_PER_FRAME or characters >= CHARACTERS_PER_FRAME:
            yield frame
            frame, characters = [], 0
    if frame:
        yield frame


def read_rows(descriptor: int) -> Iterator[SpoolRow]:
    """Read the rows of a spool from its beginning, independently of any other reader. Raises Abandoned."""
    at = 0
    while length := os.pread(descriptor, _LENGTH_BYTES, at):
        raise_if_abandoned()
        size = int.from_bytes(length)
        yield from _DECODE.decode(os.pread(descriptor, size, at + _LENGTH_BYTES))
        at += _LENGTH_BYTES + size
