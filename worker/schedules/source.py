"""Where a schedule's roster comes from: a file, the newest file of a folder, or an address elsewhere.

An address may contain a password or a signature: only the ledger has it, no message, list or log shows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from worker.errors import UsageError
from worker.intake import storage
from worker.private_files import scratch_folder
from worker.reports.kinds import is_report

if TYPE_CHECKING:
    from worker.folders.watch import FoundFile

FOLDER = "folder:"
#: A larger roster is rejected before it is completely fetched (bytes).
MAX_BYTES = 100 * 1024 * 1024
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class SourceKind(StrEnum):
    """What a source is."""

    FILE = "file"
    FOLDER = "folder"
    ADDRESS = "address"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a roster comes from."""

    kind: SourceKind
    #: A path, or the whole address.
    location: str

    @property
    def stored_text(self) -> str:
        """Return the source as it is in the ledger."""
        return f"{FOLDER}{self.location}" if self.kind is SourceKind.FOLDER else self.location

    @property
    def display_text(self) -> str:
        """Return the source without passwords and signatures."""
        return storage.redacted(self.location) if self.kind is SourceKind.ADDRESS else self.stored_text


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRoster:
    """A local copy of a roster, with the name that it has at its source."""

    path: Path
    name: str


def parse_source(text: str, folders: Mapping[str, str] | None = None) -> Source:
    """Return the source that a person typed; `folders` are paths of drop folders by name. Raises UsageError."""
    scheme, found, rest = text.partition("://")
    if found and scheme.casefold() == "file":
        return _local_source(Path(unquote(urlsplit(text).path)) if rest.startswith("/") else Path(rest))
    if found:
        return _remote_source(text)
    if text.startswith(FOLDER):
        named = text.removeprefix(FOLDER)
        if not named:
            raise UsageError("folder: needs a path, such as folder:/srv/rosters")
        path = Path((folders or {}).get(named, named)).expanduser().absolute()
        return Source(kind=SourceKind.FOLDER, location=str(path))
    return _local_source(Path(text).expanduser())


def _local_source(path: Path) -> Source:
    return Source(kind=SourceKind.FOLDER if path.is_dir() else SourceKind.FILE, location=str(path.absolute()))


def _remote_source(text: str) -> Source:
    scheme = storage.scheme_of(text)
    if scheme not in storage.PACKAGES or "::" in text:
        known = ", ".join(f"{each}://" for each in storage.PACKAGES)
        raise UsageError(f"A roster cannot be fetched from {scheme}://; supported are {known} and paths")
    try:
        host = urlsplit(text).hostname
    except ValueError:
        host = None
    if not host:
        raise UsageError(f"{storage.redacted(text)} is not a valid address: it has no host")
    if scheme == "http" and host not in _LOOPBACK:
        raise UsageError(f"{storage.redacted(text)}: http:// sends names and addresses in plain text; use https://")
    return Source(kind=SourceKind.ADDRESS, location=text)


def find_file(source: Source) -> FoundFile | None:
    """Return the file that a run would import now, of a path or folder; None for an address. Raises UsageError."""
    if source.kind is SourceKind.ADDRESS:
        return None
    from worker.folders import watch  # noqa: PLC0415 - a list of schedules needs nothing that reads rosters

    place = Path(source.location)
    try:
        if source.kind is SourceKind.FOLDER:
            files = [file for file in watch.scan_folder(place).files if not is_report(file.name)]
            if not files:
                raise UsageError(f"There is no roster in {place}")
            return max(files, key=lambda file: (file.modified_at, file.name))
        status = place.stat()
    except FileNotFoundError:
        raise UsageError(f"{place} does not exist") from None
    except OSError as error:
        raise UsageError(f"{place} cannot be read: {error.strerror}") from None
    return watch.FoundFile(path=str(place), name=place.name, size=status.st_size, modified_at=status.st_mtime)


@contextmanager
def local_copy(source: Source, files: Path) -> Iterator[LocalRoster]:
    """Yield a local copy of the roster until the block ends. Raises UsageError in plain words."""
    found = find_file(source)
    if found is not None:
        yield LocalRoster(path=Path(found.path), name=found.name)
        return
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(scratch_folder())
        except OSError as error:
            raise UsageError(f"The roster cannot be stored in {files}: {error.strerror}") from None
        name = _name_of(source.location)
        path = folder / f"roster{PurePosixPath(name).suffix[:10]}"
        storage.fetch(source.location, path, largest=MAX_BYTES)
        yield LocalRoster(path=path, name=name)


def _name_of(address: str) -> str:
    return PurePosixPath(unquote(urlsplit(address).path)).name or "roster.csv"
