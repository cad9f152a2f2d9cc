"""Copy a roster to where it stays. Knows nothing of what is in it."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from worker.errors import UsageError


def keep(path: Path, files: Path, mark: str) -> Path:
    """Copy the file to where it stays, whole or not at all, readable by its owner alone.

    Raises UsageError when there is no room or no right.
    """
    target = files / f"{mark[:32]}{path.suffix.lower()[:10]}"
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
