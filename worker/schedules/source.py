"""Where a schedule's roster comes from: a file, the newest file of a folder, or an address elsewhere.

An address may contain a password or a signature: only the ledger has it, no message, list or log shows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from worker.addresses import has_control_characters, look_up, masked, numeric_addresses
from worker.errors import MissingFile, UnreadableSource, UsageError
from worker.intake import storage
from worker.private_files import scratch_folder
from worker.reports.kinds import is_report
from worker.schedules.web_address import parse_web_address, refuse_special

if TYPE_CHECKING:
    from worker.folders.watch import FoundFile

FOLDER = "folder:"
#: A larger roster is rejected before it is completely fetched (bytes).
MAX_BYTES = 100 * 1024 * 1024
#: The kinds of address that name a host, and not a bucket.
_WITH_HOST = frozenset({"sftp", "ssh", "smb", "webdav"})
_IPV6_HOST = re.compile(r"\[[^\]]*\]")
#: An address without its two slashes: it may have a password in it, and is not shown as a path.
_MISTYPED = re.compile(rf"(?:{'|'.join(storage.PACKAGES)}):(?!//)", re.IGNORECASE)


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
        return masked(self.location) if self.kind is SourceKind.ADDRESS else self.stored_text


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
    if not Path(text).exists() and _MISTYPED.match(text):
        raise UsageError("This is neither a path nor an address; an address begins as in https://host/roster.csv")
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
    shown = masked(text)
    if scheme not in storage.PACKAGES or _is_chained(text):
        known = ", ".join(f"{each}://" for each in storage.PACKAGES)
        raise UsageError(f"A roster cannot be fetched from {shown}; supported are {known} and paths")
    if scheme in storage.WEB_SCHEMES:
        parse_web_address(text)
        return Source(kind=SourceKind.ADDRESS, location=text)
    try:
        host = urlsplit(text).hostname
    except ValueError:
        host = None
    if not host or has_control_characters(text):
        raise UsageError(f"{shown} is not a valid address: it needs a host, and no line breaks")
    if scheme in _WITH_HOST:
        refuse_special(shown, numeric_addresses(host))
    return Source(kind=SourceKind.ADDRESS, location=text)


def _is_chained(text: str) -> bool:
    """Return whether an address names a file within another one, as fsspec would read it."""
    scheme, _, rest = text.partition("://")
    return "::" in scheme or "::" in _IPV6_HOST.sub("", rest)


def find_file(source: Source) -> FoundFile | None:
    """Return the file that a run would import now, of a path or folder; None for an address.

    Raises MissingFile or UnreadableSource.
    """
    if source.kind is SourceKind.ADDRESS:
        return None
    from worker.folders import watch  # noqa: PLC0415 - a list of schedules needs nothing that reads rosters

    place = Path(source.location)
    try:
        if source.kind is SourceKind.FOLDER:
            files = [file for file in watch.scan_folder(place).files if not is_report(file.name)]
            if not files:
                raise MissingFile(f"There is no roster in {place}")
            return max(files, key=lambda file: (file.modified_at, file.name))
        status = place.stat()
    except FileNotFoundError:
        raise MissingFile(f"{place} does not exist") from None
    except OSError as error:
        raise UnreadableSource(f"{place} cannot be read: {error.strerror}") from None
    return watch.FoundFile(path=str(place), name=place.name, size=status.st_size, modified_at=status.st_mtime)


@contextmanager
def local_copy(source: Source, files: Path) -> Iterator[LocalRoster]:
    """Yield a local copy of the roster until the block ends.

    Raises MissingFile or UnreadableSource, or UsageError when there is no room for it.
    """
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
        try:
            _fetch(source.location, path)
        except MissingFile:
            raise
        except UsageError as error:
            raise UnreadableSource(str(error)) from None
        yield LocalRoster(path=path, name=name)


def _fetch(address: str, path: Path) -> None:
    if storage.scheme_of(address) in storage.WEB_SCHEMES:
        from worker.schedules.download import download  # noqa: PLC0415 - a list of schedules needs no HTTP client

        download(address, path, largest=MAX_BYTES)
        return
    if storage.scheme_of(address) in _WITH_HOST:
        # A host that is not found is reported by the fetch.
        with suppress(OSError):
            refuse_special(masked(address), look_up(urlsplit(address).hostname or ""))
    storage.fetch(address, path, largest=MAX_BYTES)


def _name_of(address: str) -> str:
    return PurePosixPath(unquote(urlsplit(address).path)).name or "roster.csv"
