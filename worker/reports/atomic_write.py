"""Files stand whole or not at all: written aside, forced to disk, then renamed. Does not know what is in them."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from worker import errors

_PREFIX = ".roster-"
_A_DAY = 86_400.0
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY}


@contextmanager
def staging(folder: Path, *, job: int) -> Iterator[Path]:
    """Give a scratch folder within `folder`, gone afterwards; a failing disk becomes a plain sentence.

    Within the folder itself, so that a rename out of it is atomic: it never crosses file systems.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        with tempfile.TemporaryDirectory(dir=folder, prefix=_PREFIX, ignore_cleanup_errors=True) as scratch:
            yield Path(scratch)
    except OSError as error:
        raise errors.RosterError(
            f"The reports could not be written to {folder}: {error.strerror or error}. "
            f"The outcomes are safe in the ledger; {_remedy(error)} and run `roster report {job}`."
        ) from error


def publish(files: Mapping[Path, Path]) -> None:
    """Move each staged file to its place, in order, after all of them are on the disk."""
    for staged in files:
        with staged.open("r+b") as file:
            os.fsync(file.fileno())
    for staged, final in files.items():
        staged.replace(final)
    for folder in {final.parent for final in files.values()}:
        _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    """Force the renames to disk, where the system can: Windows opens no folders, some network disks sync none."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _sweep(folder: Path) -> None:
    """Remove what a killed process left here: it holds names and addresses."""
    for left in folder.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _A_DAY:
                shutil.rmtree(left, ignore_errors=True)


def _remedy(error: OSError) -> str:
    if error.errno in _FULL:
        return "free some space"
    if error.errno in _FORBIDDEN:
        return (
            "close the file where it is open in another program, or allow writing there or choose `--report DIR`,"
        )
    return "mend that or choose another folder with `--report DIR`"
