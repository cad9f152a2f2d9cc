"""Let a roster come from standard input, which is `-` among the files of a command."""

from __future__ import annotations

import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from worker.errors import UsageError
from worker.private_files import create_private_file, scratch_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

STANDARD_INPUT = Path("-")
#: The name of such a roster, in messages and reports.
NAME = "stdin"


@contextmanager
def readable(files: Sequence[Path]) -> Iterator[Sequence[Path]]:
    """Yield the files with standard input saved as one, until the block ends. Raises UsageError."""
    if STANDARD_INPUT not in files:
        yield files
        return
    if files.count(STANDARD_INPUT) > 1:
        raise UsageError("- is standard input, which can be read once")
    with scratch_folder() as folder:
        with create_private_file(folder / NAME) as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield [folder / NAME if path == STANDARD_INPUT else path for path in files]
