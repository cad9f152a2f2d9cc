"""Write files atomically: complete or not at all. Written to a scratch folder, synced to disk, then renamed."""

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
    """Yield a scratch folder within `folder`, removed afterwards. Raises RosterError when the disk fails.

    It is within the folder itself, so that a rename out of it is atomic: it never crosses file systems.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder)
        with tempfile.TemporaryDirectory(dir=folder, prefix=_PREFIX, ignore_cleanup_errors=True) as scratch:
            yield Path(scratch)
    except OSError as error:
        raise errors.RosterError(
            f"The reports could not be written to {folder}: {error.strerror or error}. "
            f"The outcomes are safe in the ledger; {_remedy(error)} and run `roster report {job}`."
        ) from error


def move_into_place(files: Mapping[Path, Path]) -> None:
    """Move each staged file to its place, in order, after all of them are synced to disk."""
    for staged in files:
        with staged.open("r+b") as file:
            os.fsync(file.fileno())
    for staged, final in files.items():
        staged.replace(final)
    for folder in {final.parent for final in files.values()}:
        _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    """Sync the renames to disk, where the system can: Windows opens no folders, some network disks sync none."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _remove_leftovers(folder: Path) -> None:
    """Remove the scratch folders of killed processes: they have names and addresses in them."""
    for left in folder.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _A_DAY:
                shutil.rmtree(left, ignore_errors=True)


def _remedy(error: OSError) -> str:
    if error.errno in _FULL:
        return "free some space"
    if error.errno in _FORBIDDEN:
        return "close the file if another program has it open, allow writing there or choose `--report DIR`,"
    return "fix that or choose another folder with `--report DIR`"
