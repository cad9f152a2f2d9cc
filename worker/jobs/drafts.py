"""Drafts on disk: a roster that was dropped, how it is to be read, and what was understood; each in a folder.

A draft's id is its only key: random, so that nobody guesses it. Nothing of it is in the ledger before somebody
says go.
"""

from __future__ import annotations

import re
import secrets
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from worker.intake.accept import Options

if TYPE_CHECKING:
    from worker.bootstrap import Services

#: A draft that nobody sent is removed after this (seconds).
KEPT_SECONDS = 86_400.0
_ID = re.compile(r"[A-Za-z0-9_-]{24}")
_DRAFT, _LOOK = "draft.json", "look.json"
Kept = TypeVar("Kept")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A roster that is looked at before it is sent."""

    id: str
    #: The roster's name as it was dropped.
    name: str
    #: The file's name within the draft's folder.
    file: str
    connection: str
    created_at: float
    by: str
    options: Options = field(default_factory=Options)
    #: When it is to begin, as it was typed, and how far the person's clock is behind UTC (minutes).
    at: str = ""
    zone_minutes: str = ""


def folder(services: Services) -> Path:
    """Return where drafts are kept, made for its owner alone."""
    drafts = _place(services)
    drafts.mkdir(parents=True, exist_ok=True, mode=0o700)
    return drafts


def keep(services: Services, file: Path, *, name: str, connection: str, by: str) -> Draft:
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
    (drafts / draft.id).mkdir(mode=0o700)
    file.replace(path_of(services, draft))
    _write(drafts / draft.id / _DRAFT, draft)
    return draft


def find(services: Services, draft_id: str) -> Draft | None:
    """Return a draft; None when there is none of that id, or it was sent or thrown away."""
    if not _ID.fullmatch(draft_id):
        return None
    return _read(folder(services) / draft_id / _DRAFT, Draft)


def path_of(services: Services, draft: Draft) -> Path:
    """Return where a draft's file is."""
    return folder(services) / draft.id / draft.file


def change(services: Services, draft: Draft, changed: Draft) -> None:
    """Say anew how a draft is to be read and when it begins; what was understood otherwise is forgotten."""
    if changed == draft:
        return
    _write(folder(services) / draft.id / _DRAFT, changed)
    if (changed.connection, changed.options) != (draft.connection, draft.options):
        forget_look(services, draft)


def forget_look(services: Services, draft: Draft) -> None:
    """Forget what was understood, so that it is looked at anew."""
    (folder(services) / draft.id / _LOOK).unlink(missing_ok=True)


def note_look(services: Services, draft: Draft, look: object) -> None:
    """Keep what was understood, so that to look again costs nothing."""
    _write(folder(services) / draft.id / _LOOK, look)


def find_look(services: Services, draft: Draft, kind: type[Kept]) -> Kept | None:
    """Return what was understood; None when nobody has looked since the last change."""
    return _read(folder(services) / draft.id / _LOOK, kind)


def remove(services: Services, draft: Draft) -> None:
    """Remove a draft with its file."""
    shutil.rmtree(folder(services) / draft.id, ignore_errors=True)


def remove_old(services: Services, older_than: float = KEPT_SECONDS) -> int:
    """Remove what nobody touched for so long (seconds), and return how much that was."""
    removed, drafts = 0, _place(services)
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


def _place(services: Services) -> Path:
    return services.files / "drafts"


def _write(path: Path, value: object) -> None:
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    part.touch(mode=0o600)
    part.write_bytes(msgspec.json.encode(value))
    part.replace(path)


def _read(path: Path, kind: type[Kept]) -> Kept | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
