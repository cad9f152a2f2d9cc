"""Copy a roster to where it stays: a folder, or an address elsewhere. Knows nothing of what is in it."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from worker.errors import UsageError
from worker.intake import storage


def keep(path: Path, store: str, mark: str) -> str:
    """Copy the file to where it stays, whole or not at all, and return its path or address.

    In a folder it is readable by its owner alone. Raises UsageError when there is no room or no right.
    """
    name = f"{mark[:32]}{path.suffix.lower()[:10]}"
    if storage.is_address(store):
        address = storage.below(store, name)
        storage.put(path, address)
        return address
    return str(_keep_here(path, Path(store) / name))


def _keep_here(path: Path, target: Path) -> Path:
    files = target.parent
    # Several threads, and the same process number in several containers, may keep the same roster at once.
    part = target.with_name(f"{target.name}.{uuid4().hex[:12]}.part")
    try:
        files.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copyfile(path, part)
        part.chmod(0o600)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(target)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise UsageError(
            f"The roster cannot be kept in {files}: {error.strerror}. Nothing was sent; make room or set `files`"
        ) from None
    return target
