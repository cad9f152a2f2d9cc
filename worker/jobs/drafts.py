"""Drafts on disk: an uploaded roster, how it is to be read, and its preview; each in a folder of its own.

A draft's id is its only key: random, so that it cannot be guessed. Nothing of it is in the ledger before it
is sent.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from worker.intake.options import Options
from worker.private_files import create_private_file, make_private_folder

if TYPE_CHECKING:
    from worker.bootstrap import Services

#: A draft that was not sent is removed after this (seconds).
MAX_AGE_SECONDS = 86_400.0
#: A file to which nothing was written for so long is no longer being received.
_RECEIVING_SECONDS = 600.0
_ID = re.compile(r"[A-Za-z0-9_-]{24}")
_DRAFT, _PREVIEW = "draft.json", "preview.json"
Stored = TypeVar("Stored")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An uploaded roster that a person checks before it is sent."""

    id: str
    #: The roster's name as it was uploaded.
    name: str
    #: The file's name within the draft's folder.
    file: str
    connection: str
    created_at: float
    by: str
    options: Options = field(default_factory=Options)
    #: When it is to start, as it was typed, and how far the person's clock is behind UTC (minutes).
    at: str = ""
    zone_minutes: str = ""

    @property
    def version(self) -> str:
        """Return a text that differs when anything of the draft was changed."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]


def folder(services: Services) -> Path:
    """Return where drafts are kept, made for its owner alone."""
    return make_private_folder(_root(services))


def create(services: Services, file: Path, *, name: str, connection: str, by: str) -> Draft:
    """Move an uploaded file into a draft of its own, and remove the old ones."""
    remove_old(services)
    drafts = folder(services)
    draft = Draft(
        id=secrets.token_urlsafe(18),
        name=name,
        file=f"roster{file.suffix}",
        connection=connection,
        created_at=time.time(),
        by=by,
    )
    make_private_folder(drafts / draft.id)
    file.replace(path_of(services, draft))
    _write(drafts / draft.id / _DRAFT, draft)
    return draft


def find(services: Services, draft_id: str) -> Draft | None:
    """Return a draft; None when there is none of that id, or it was sent or discarded."""
    if not _ID.fullmatch(draft_id):
        return None
    return _read(folder(services) / draft_id / _DRAFT, Draft)


def unfinished(services: Services, by: str) -> list[Draft]:
    """Return the drafts of a person that were neither sent nor discarded, newest first."""
    root = _root(services)
    found = [_read(each / _DRAFT, Draft) for each in root.iterdir() if each.is_dir()] if root.is_dir() else []
    mine = [draft for draft in found if draft is not None and draft.by == by]
    return sorted(mine, key=lambda draft: draft.created_at, reverse=True)


def path_of(services: Services, draft: Draft) -> Path:
    """Return where a draft's file is."""
    return folder(services) / draft.id / draft.file


def change(services: Services, draft: Draft, changed: Draft) -> None:
    """Change how a draft is to be read and when it starts; a preview that no longer applies is deleted."""
    if changed == draft:
        return
    _write(folder(services) / draft.id / _DRAFT, changed)
    if (changed.connection, changed.options) != (draft.connection, draft.options):
        delete_preview(services, draft)


def delete_preview(services: Services, draft: Draft) -> None:
    """Delete the preview, so that it is made again."""
    (folder(services) / draft.id / _PREVIEW).unlink(missing_ok=True)


def save_preview(services: Services, draft: Draft, preview: object) -> None:
    """Save the preview, so that showing it again costs nothing; not of a draft that was changed meanwhile."""
    _write(folder(services) / draft.id / _PREVIEW, preview)
    now_saved = find(services, draft.id)
    if now_saved is None or (now_saved.connection, now_saved.options) != (draft.connection, draft.options):
        delete_preview(services, draft)


def find_preview(services: Services, draft: Draft, kind: type[Stored]) -> Stored | None:
    """Return the preview; None when none was made since the last change."""
    return _read(folder(services) / draft.id / _PREVIEW, kind)


def remove(services: Services, draft: Draft) -> None:
    """Remove a draft with its file."""
    shutil.rmtree(folder(services) / draft.id, ignore_errors=True)


def remove_old(services: Services, older_than: float = MAX_AGE_SECONDS) -> int:
    """Remove what was not changed for `older_than` seconds, and return how many drafts that were."""
    removed, drafts = 0, _root(services)
    for each in drafts.iterdir() if drafts.is_dir() else ():
        try:
            if time.time() - each.stat().st_mtime <= older_than:
                continue
        except FileNotFoundError:
            continue
        removed += 1
        if each.is_dir():
            shutil.rmtree(each, ignore_errors=True)
        else:
            each.unlink(missing_ok=True)
    return removed


def remove_dead_uploads(services: Services) -> None:
    """Remove uploads that are no longer being received, and half stored rosters: their process has died."""
    dead = [*(services.files / "uploads").glob("*"), *services.files.glob("*.part")]
    for path in dead:
        with suppress(OSError):
            if path.is_file() and time.time() - path.stat().st_mtime > _RECEIVING_SECONDS:
                path.unlink()


def _root(services: Services) -> Path:
    return services.files / "drafts"


def _write(path: Path, value: object) -> None:
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    with create_private_file(part) as file:
        file.write(msgspec.json.encode(value))
    part.replace(path)


def _read(path: Path, kind: type[Stored]) -> Stored | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
