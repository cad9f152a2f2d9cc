"""Files in drop folders: seen, claimed, imported, archived. Every statement on `dropped_file` is in this module."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select, update

from worker.ledger.database import now
from worker.ledger.schema import dropped_file, job
from worker.model import ENDED

if TYPE_CHECKING:
    from sqlalchemy import Row

    from worker.ledger.database import Transaction


class DroppedFileState(StrEnum):
    """How far a file in a drop folder has been processed."""

    #: It is in the folder and may still be growing.
    SEEN = "seen"
    #: It is in `processing/`, or being moved there.
    CLAIMED = "claimed"
    #: It has a job.
    TAKEN = "taken"
    #: It is in `done/` or `failed/`.
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedFile:
    """A file in a drop folder."""

    id: int
    #: The folder's name in roster.toml.
    folder: str
    #: The name that the file arrived with.
    name: str
    path: str
    #: Where it is being moved to.
    target_path: str | None
    job_id: int | None
    state: DroppedFileState
    size: int
    modified_at: float
    #: When a change of size or time was last noticed, or it was claimed (`database_time`, seconds since 1970).
    updated_at: float
    error: str


def _as_file(record: Row[Any]) -> DroppedFile:
    values = dict(record._mapping)  # noqa: SLF001 - the documented way to read a record as a mapping
    return DroppedFile(**{**values, "state": DroppedFileState(values["state"])})


def database_time(tx: Transaction) -> float:
    """Return the time of the database server, the clock that processes share (seconds since 1970)."""
    if tx.dialect.name != "postgresql":
        return now()
    return float(tx.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one())


def files_in(tx: Transaction, folder: str, state: DroppedFileState) -> list[DroppedFile]:
    """Return the files of a folder in one state, oldest first."""
    query = select(dropped_file).where(dropped_file.c.folder == folder, dropped_file.c.state == state)
    return [_as_file(record) for record in tx.execute(query.order_by(dropped_file.c.id))]


def find(tx: Transaction, file_id: int) -> DroppedFile | None:
    """Return a file, or None when its record was deleted."""
    record = tx.execute(select(dropped_file).where(dropped_file.c.id == file_id)).first()
    return _as_file(record) if record else None


def add(tx: Transaction, folder: str, name: str, *, path: str, size: int, modified_at: float) -> DroppedFile:
    """Add a file that was not there before."""
    values = {"folder": folder, "name": name, "path": path, "size": size, "modified_at": modified_at}
    added = insert(dropped_file).values(
        **values, state=DroppedFileState.SEEN, updated_at=database_time(tx), error=""
    )
    return _as_file(tx.execute(added.returning(dropped_file)).one())


def note_change(tx: Transaction, file: DroppedFile, size: int, modified_at: float) -> None:
    """Record that a file has changed since the last scan."""
    tx.execute(_same(file).values(size=size, modified_at=modified_at, updated_at=database_time(tx)))


def delete_file(tx: Transaction, file: DroppedFile) -> bool:
    """Delete the record of a file that no longer exists; False when another process has changed it meanwhile."""
    same = delete(dropped_file).where(
        dropped_file.c.id == file.id,
        dropped_file.c.state == file.state,
        dropped_file.c.updated_at == file.updated_at,
    )
    return tx.execute(same.where(dropped_file.c.target_path.is_not_distinct_from(file.target_path))).rowcount == 1


def start_move(
    tx: Transaction, file: DroppedFile, state: DroppedFileState, target_path: str | None
) -> DroppedFile | None:
    """Record where a file is about to be moved; None when another process has changed it meanwhile."""
    record = tx.execute(
        _same(file)
        .values(state=state, target_path=target_path, updated_at=database_time(tx))
        .returning(dropped_file)
    ).first()
    return _as_file(record) if record else None


def finish_move(tx: Transaction, file: DroppedFile, state: DroppedFileState) -> DroppedFile | None:
    """Record that a file has been moved; None when another process has recorded it."""
    record = tx.execute(
        _same(file).values(state=state, path=file.target_path, target_path=None).returning(dropped_file)
    ).first()
    return _as_file(record) if record else None


def assign_job(tx: Transaction, file: DroppedFile, job_id: int) -> bool:
    """Record the job of a claimed file; False when it has one."""
    unassigned = update(dropped_file).where(
        dropped_file.c.id == file.id, dropped_file.c.state == DroppedFileState.CLAIMED
    )
    values = {"job_id": job_id, "state": DroppedFileState.TAKEN, "error": ""}
    return tx.execute(unassigned.where(dropped_file.c.job_id.is_(None)).values(**values)).rowcount == 1


def set_error(tx: Transaction, file: DroppedFile, error: str) -> None:
    """Record why a claimed file has no job yet."""
    tx.execute(update(dropped_file).where(dropped_file.c.id == file.id).values(error=error))


def target_paths(tx: Transaction) -> set[str]:
    """Return the paths to which files are being moved."""
    return set(
        tx.execute(select(dropped_file.c.target_path).where(dropped_file.c.target_path.is_not(None))).scalars()
    )


def files_of_job(tx: Transaction, job_id: int) -> list[DroppedFile]:
    """Return the files of a job, in the order in which they arrived."""
    query = select(dropped_file).where(dropped_file.c.job_id == job_id).order_by(dropped_file.c.id)
    return [_as_file(record) for record in tx.execute(query)]


def jobs_to_archive(tx: Transaction) -> list[int]:
    """Return the jobs that have ended and whose files are still in `processing/`."""
    query = (
        select(job.c.id)
        .join(dropped_file, dropped_file.c.job_id == job.c.id)
        .where(dropped_file.c.state == DroppedFileState.TAKEN)
    )
    return list(tx.execute(query.where(job.c.state.in_(tuple(ENDED))).distinct().order_by(job.c.id)).scalars())


def _same(file: DroppedFile) -> Any:
    """Return an update of the file's record that matches only while it is unchanged."""
    same = update(dropped_file).where(
        dropped_file.c.id == file.id,
        dropped_file.c.state == file.state,
        dropped_file.c.updated_at == file.updated_at,
    )
    return same.where(dropped_file.c.target_path.is_not_distinct_from(file.target_path))
