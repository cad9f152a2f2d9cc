"""Read one text file in a process of its own, so that a hostile one can neither freeze nor end the server.

`python -I -m worker.intake.csv_files.process PATH SPOOL`: the spool is a descriptor; the file's name and the
encoding come on standard input. Rows go to the spool, a `TextRead` or `TextFailed` to standard output.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from worker.errors import NothingSent, UncertainEncoding, UsageError
from worker.intake.csv_files.reader import open_csv
from worker.intake.excel.ipc import SpoolRow, write_rows
from worker.intake.limits import limit_this_process


class TextRequest(msgspec.Struct, frozen=True):
    """What the child is to read: the file's original name, for messages, and the encoding if one was given."""

    name: str
    encoding: str | None


class TextRead(msgspec.Struct, tag=True, frozen=True):
    """The child's response: all rows are in the spool."""

    notes: tuple[str, ...]


class TextFailed(msgspec.Struct, tag=True, frozen=True):
    """The child's response: a sentence that says why there are no rows."""

    message: str
    #: The option is wrong, and not the file.
    is_usage: bool = False
    #: Names in each possible encoding, when one must be given.
    readings: dict[str, str] | None = None


def try_read_text(path: Path, spool: int, request: TextRequest) -> TextRead | TextFailed:
    """Read a text file into the spool, or return in plain words why it cannot be read."""
    try:
        text = open_csv(path, name=request.name, encoding=request.encoding)
        write_rows(spool, (SpoolRow(number, tuple(cells)) for number, cells in text.records() if any(cells)))
    except UncertainEncoding as error:
        return TextFailed(str(error), readings=dict(error.readings))
    except NothingSent as error:
        return TextFailed(str(error), is_usage=isinstance(error, UsageError))
    except MemoryError:
        return TextFailed(f"{request.name}: the file needs too much memory. Is it a text file?")
    except OSError as error:
        return TextFailed(f"{request.name}: the file cannot be read ({error.strerror or 'the disk is full'}).")
    return TextRead(text.notes)


def main() -> None:
    """Read the file that the command line names."""
    path, spool = sys.argv[1:]
    limit_this_process()
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=TextRequest)
    os.write(1, msgspec.json.encode(try_read_text(Path(path), int(spool), request)))


if __name__ == "__main__":
    main()
