"""The largest cells, rows and headings that are read; what is beyond them is refused before it costs time."""

from __future__ import annotations

import resource
import signal

#: As many as a spreadsheet has.
MAX_COLUMNS = 16_384
#: Of a cell in a workbook, as Excel has it; LibreOffice writes no longer ones.
MAX_CELL_CHARACTERS = 32_767
#: Of a cell in a text file.
MAX_FIELD_CHARACTERS = 131_072
#: Of all cells of a row together.
MAX_ROW_CHARACTERS = 16 * MAX_FIELD_CHARACTERS
#: A heading is matched to a column by these characters; no column has a longer name.
MATCHED_CHARACTERS = 200
#: Letters are put in their normal form with at most this many marks on one of them: sorting more takes too long,
#: and no language has as many.
MAX_MARKS = 64
#: Of a process that reads a file, and of the rows that it writes.
MAX_MEMORY_BYTES = 2 * 2**30
MAX_SPOOL_BYTES = 4 * 2**30
#: Of processor time: a child whose parent was killed ends too, whatever it reads.
MAX_CPU_SECONDS = 900
#: Somebody who stops Roster may send these to all of its processes; they say nothing about the file.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def limit_this_process() -> None:
    """Set the limits of a child that reads a file; one that needs more ends.

    It reads to its end although Roster is being stopped: its parent waits for it, or ends it.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_SECONDS, MAX_CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_SPOOL_BYTES, MAX_SPOOL_BYTES))
