"""Files with personal data that are for this account of the machine alone: rights, and scratch folders.

Scratch folders are below `files`, never in the system's folder for temporary files: `purge` and the next start find
there what a killed process has left. A lock shows whether a live process, of whatever machine, still uses one.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

FOLDER_MODE, FILE_MODE = 0o700, 0o600
#: The folder below `files` that has the scratch folders.
SCRATCH = "tmp"
_OTHERS = 0o077
_LOCK_SUFFIX = ".lock"
#: A younger file may be one that is losing its name (seconds).
_UNNAMED_SECONDS = 60.0
#: Where locks do not work, an older scratch folder is one of a dead process (seconds).
_LONGEST_USE_SECONDS = 86_400.0
#: Where this process makes its scratch folders; without it, in the system's folder for temporary files.
_root: Path | None = None


def make_private_folder(folder: Path) -> Path:
    """Make a folder, and those above it, for the owner alone, whatever the umask. Raises OSError."""
    if not folder.is_dir():
        make_private_folder(folder.parent)
        with suppress(FileExistsError):
            folder.mkdir(mode=FOLDER_MODE)
            folder.chmod(FOLDER_MODE)
    return folder


def create_private_file(path: Path) -> BinaryIO:
    """Create a file for the owner alone, whatever the umask, and open it for writing. Raises OSError."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    with suppress(OSError):  # some shares have no permissions
        os.chmod(handle, FILE_MODE)  # noqa: PTH101 - the open file; the umask may have taken the owner's rights too
    return open(handle, "wb")  # noqa: PTH123 - an open file


def make_private(path: Path) -> None:
    """Take the rights of others on a file or folder away, if it is ours; links are not followed.

    A folder with the sticky bit, such as /tmp, is meant to be shared and stays as it is.
    """
    with suppress(OSError):
        status = path.lstat()
        if stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX:
            return
        wide = stat.S_IMODE(status.st_mode) & _OTHERS
        if wide and status.st_uid == os.geteuid() and not stat.S_ISLNK(status.st_mode):
            path.chmod(stat.S_IMODE(status.st_mode) & ~_OTHERS)


def make_tree_private(folder: Path) -> None:
    """Take the rights of others on a folder of ours and all that is in it away."""
    make_private(folder)
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            make_private(Path(parent, name))


def readable_by_others(path: Path) -> bool:
    """Return whether another account of this machine may read a file, by its own rights and its folders'."""
    try:
        path = path.resolve(strict=True)
        mode = path.stat().st_mode
        above = [folder.stat().st_mode for folder in path.parents]
    except OSError:
        return False
    world = bool(mode & stat.S_IROTH) and all(folder & stat.S_IXOTH for folder in above)
    group = bool(mode & stat.S_IRGRP) and all(folder & (stat.S_IXGRP | stat.S_IXOTH) for folder in above)
    return world or group


def use_scratch_below(files: Path) -> None:
    """Let this process make its scratch folders below `files`, and clear those of processes that have died."""
    global _root  # noqa: PLW0603 - a process has one configuration
    _root = files.absolute() / SCRATCH
    clear_scratch(files)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a new folder for the owner alone, removed afterwards. Raises OSError."""
    root = _scratch_root()
    with _locked(root / _LOCK_SUFFIX, wait=True):
        folder = root / token_hex(8)
        folder.mkdir(mode=FOLDER_MODE)
        folder.chmod(FOLDER_MODE)
        lock = _take_lock(folder.with_suffix(_LOCK_SUFFIX), wait=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            folder.with_suffix(_LOCK_SUFFIX).unlink(missing_ok=True)
        if lock is not None:
            os.close(lock)


def scratch_file() -> BinaryIO:
    """Return an open file without a name, which is gone when it is closed or the process dies. Raises OSError."""
    import tempfile  # noqa: PLC0415 - few commands need it

    return tempfile.TemporaryFile(dir=_scratch_root())


def clear_scratch(files: Path) -> int:
    """Remove the scratch folders below `files` that no live process uses; return how many there were."""
    root, removed = files.absolute() / SCRATCH, 0
    if not root.is_dir():
        return 0
    make_private(root)
    with suppress(OSError), _locked(root / _LOCK_SUFFIX, wait=False) as is_ours:
        for left in sorted({path.with_suffix("") for path in root.iterdir()} if is_ours else ()):
            if left.name != _LOCK_SUFFIX:
                removed += _remove_unused(left)
    return removed


def _remove_unused(left: Path) -> bool:
    """Remove what a dead process has left, with its lock; return whether there was a scratch folder."""
    if left.is_file() and _age(left) < _UNNAMED_SECONDS:
        return False  # on some file systems a file without a name has one for a moment
    lock_file = left.with_suffix(_LOCK_SUFFIX)
    lock = _take_lock(lock_file, wait=False)
    if lock is None and _age(left) < _LONGEST_USE_SECONDS:
        return False
    was_there = left.exists()
    if left.is_file():
        left.unlink(missing_ok=True)
    shutil.rmtree(left, ignore_errors=True)
    lock_file.unlink(missing_ok=True)
    if lock is not None:
        os.close(lock)
    return was_there


def _age(path: Path) -> float:
    try:
        return time.time() - path.lstat().st_mtime
    except FileNotFoundError:
        return 0.0


def _scratch_root() -> Path:
    if _root is not None:
        return make_private_folder(_root)
    return _folder_of_the_system(os.getpid())


@cache
def _folder_of_the_system(process: int) -> Path:
    """Make a folder for code that has no configuration, until this process ends; each fork makes its own."""
    import atexit  # noqa: PLC0415 - no command comes here
    import tempfile  # noqa: PLC0415

    folder = Path(tempfile.mkdtemp(prefix="roster-"))
    atexit.register(_remove_after_use, folder, process)
    return folder


def _remove_after_use(folder: Path, process: int) -> None:
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold a lock for the block; yield False when it is held by another and `wait` is not set."""
    lock = _take_lock(path, wait=wait)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            os.close(lock)


def _take_lock(path: Path, *, wait: bool) -> int | None:
    """Return an open file that holds a lock until it is closed; None when another has it, or locks do not work."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(handle)
        return None
    return handle
