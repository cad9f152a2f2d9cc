"""Where a schedule's roster comes from: a file, the newest file of a folder, or an address elsewhere.

An address may hold a password or a signature: no message, list or log has it, only the ledger.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from worker.errors import UsageError
from worker.intake import storage
from worker.reports.kinds import is_report

if TYPE_CHECKING:
    from worker.folders.watch import Found

FOLDER = "folder:"
#: No roster is larger (bytes); one that is, is not fetched to its end.
LARGEST = 100 * 1024 * 1024
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class Kind(StrEnum):
    """What a source is."""

    FILE = "file"
    FOLDER = "folder"
    ADDRESS = "address"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a roster comes from."""

    kind: Kind
    #: A path, or the whole address.
    place: str

    @property
    def written(self) -> str:
        """Return the source as the ledger keeps it."""
        return f"{FOLDER}{self.place}" if self.kind is Kind.FOLDER else self.place

    @property
    def shown(self) -> str:
        """Return the source without what nobody may read."""
        return storage.redacted(self.place) if self.kind is Kind.ADDRESS else self.written


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """A roster that can be read now, under the name that it has where it comes from."""

    path: Path
    name: str


def parse(text: str, folders: Mapping[str, str] | None = None) -> Source:
    """Return the source that a person named; `folders` are paths of drop folders by name. Raises UsageError."""
    scheme, found, rest = text.partition("://")
    if found and scheme.casefold() == "file":
        return _local(Path(unquote(urlsplit(text).path)) if rest.startswith("/") else Path(rest))
    if found:
        return _address(text)
    if text.startswith(FOLDER):
        named = text.removeprefix(FOLDER)
        if not named:
            raise UsageError("folder: needs a path, such as folder:/srv/rosters")
        path = Path((folders or {}).get(named, named)).expanduser().absolute()
        return Source(kind=Kind.FOLDER, place=str(path))
    return _local(Path(text).expanduser())


def _local(path: Path) -> Source:
    return Source(kind=Kind.FOLDER if path.is_dir() else Kind.FILE, place=str(path.absolute()))


def _address(text: str) -> Source:
    scheme = storage.scheme_of(text)
    if scheme not in storage.PACKAGES or "::" in text:
        known = ", ".join(f"{each}://" for each in storage.PACKAGES)
        raise UsageError(f"A roster cannot be fetched from {scheme}://; known are {known} and paths")
    try:
        host = urlsplit(text).hostname
    except ValueError:
        host = None
    if not host:
        raise UsageError(f"{storage.redacted(text)} is no address: it names no host")
    if scheme == "http" and host not in _LOOPBACK:
        raise UsageError(f"{storage.redacted(text)}: http:// sends names and addresses in the clear; use https://")
    return Source(kind=Kind.ADDRESS, place=text)


def glimpse(source: Source) -> Found | None:
    """Return the file that would be taken now, of a path or a folder; None for an address. Raises UsageError."""
    if source.kind is Kind.ADDRESS:
        return None
    from worker.folders import watch  # noqa: PLC0415 - a list of schedules needs nothing that reads rosters

    place = Path(source.place)
    try:
        if source.kind is Kind.FOLDER:
            files = [file for file in watch.look(place).files if not is_report(file.name)]
            if not files:
                raise UsageError(f"There is no roster in {place}")
            return max(files, key=lambda file: (file.changed, file.name))
        status = place.stat()
    except FileNotFoundError:
        raise UsageError(f"{place} is not there") from None
    except OSError as error:
        raise UsageError(f"{place} cannot be read: {error.strerror}") from None
    return watch.Found(path=str(place), name=place.name, size=status.st_size, changed=status.st_mtime)


@contextmanager
def at_hand(source: Source, files: Path) -> Iterator[Roster]:
    """Have the roster as a file of this machine until the block ends. Raises UsageError in plain words."""
    found = glimpse(source)
    if found is not None:
        yield Roster(path=Path(found.path), name=found.name)
        return
    try:
        files.mkdir(parents=True, exist_ok=True, mode=0o700)
        scratch = tempfile.TemporaryDirectory(dir=files, prefix=".schedule-", ignore_cleanup_errors=True)
    except OSError as error:
        raise UsageError(f"The roster cannot be kept in {files}: {error.strerror}") from None
    with scratch as folder:
        name = _name_of(source.place)
        path = Path(folder) / f"roster{PurePosixPath(name).suffix[:10]}"
        storage.fetch(source.place, path, largest=LARGEST)
        yield Roster(path=path, name=name)


def _name_of(address: str) -> str:
    return PurePosixPath(unquote(urlsplit(address).path)).name or "roster.csv"
