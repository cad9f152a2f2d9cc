"""What the child that reads a spreadsheet writes and the parent reads: rows in a spool file, one answer on a pipe.

msgspec and not pickle, because the child has read a file that may be hostile. The spool is what lets the parent go
over the rows as often as it likes for the price of one reading.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec

#: Of the length before each frame.
_LENGTH = 4
ROWS_PER_FRAME = 500


class SpoolRow(msgspec.Struct, array_like=True, frozen=True):
    """A row with data: its number, its cells, and what is wrong with some of them (position → code)."""

    row: int
    cells: tuple[str, ...]
    flaws: dict[int, str] = {}


class SheetRead(msgspec.Struct, tag=True, frozen=True):
    """The child's answer: all rows are in the spool."""

    sheet: str
    #: Other sheets with data, and hidden ones.
    others: tuple[str, ...]
    hidden: tuple[str, ...]
    #: The greatest number of cells in a row.
    width: int
    #: Positions of the columns that hold numbers whose looks we cannot know.
    bare_numbers: tuple[int, ...]


class SheetFailed(msgspec.Struct, tag=True, frozen=True):
    """The child's answer: a plain sentence that says why there are no rows."""

    message: str


_ENCODE = msgspec.msgpack.Encoder()
_DECODE = msgspec.msgpack.Decoder(list[SpoolRow])


def write_rows(descriptor: int, rows: Iterable[SpoolRow]) -> None:
    """Write rows to the spool."""
    rows = iter(rows)
    with os.fdopen(descriptor, "wb") as spool:
        while frame := list(islice(rows, ROWS_PER_FRAME)):
            body = _ENCODE.encode(frame)
            spool.write(len(body).to_bytes(_LENGTH))
            spool.write(body)


def read_rows(descriptor: int) -> Iterator[SpoolRow]:
    """Read the rows of a spool from its beginning, beside anybody else who reads it."""
    at = 0
    while length := os.pread(descriptor, _LENGTH, at):
        size = int.from_bytes(length)
        yield from _DECODE.decode(os.pread(descriptor, size, at + _LENGTH))
        at += _LENGTH + size
