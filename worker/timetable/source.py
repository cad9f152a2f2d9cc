"""Where a schedule's roster comes from: a file, the newest file of a folder, or an address elsewhere.

An address may hold a password or a signature: no message, list or log has it, only the ledger.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import unquote, urlsplit, urlunsplit

from worker.errors import UsageError
from worker.intake import drop_folder

if TYPE_CHECKING:
    from worker.intake.drop_folder import Found

FOLDER = "folder:"
#: What each kind of address needs; None where nothing more is needed.
PACKAGES: Mapping[str, str | None] = {
    "https": None,
    "http": None,
    "sftp": "paramiko",
    "ssh": "paramiko",
    "s3": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "smb": "smbprotocol",
    "webdav": "webdav4",
}
#: No roster is larger (bytes); one that is, is not fetched to its end.
LARGEST = 100 * 1024 * 1024
#: Reports of Roster that lie in a folder are no rosters to come.
_REPORTS = (".results.csv", ".results.xlsx", ".failed.csv", ".message.txt")
_PIECE = 1 << 20
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
        return redacted(self.place) if self.kind is Kind.ADDRESS else self.written


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
    scheme = text.partition("://")[0].casefold()
    if scheme not in PACKAGES or "::" in text:
        known = ", ".join(f"{each}://" for each in PACKAGES)
        raise UsageError(f"A roster cannot be fetched from {scheme}://; known are {known} and paths")
    try:
        host = urlsplit(text).hostname
    except ValueError:
        host = None
    if not host:
        raise UsageError(f"{redacted(text)} is no address: it names no host")
    if scheme == "http" and host not in _LOOPBACK:
        raise UsageError(f"{redacted(text)}: http:// sends names and addresses in the clear; use https://")
    return Source(kind=Kind.ADDRESS, place=text)


def redacted(address: str) -> str:
    """Return an address without user, password, query and fragment."""
    try:
        parts = urlsplit(address)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return f"{address.partition('://')[0]}://…"
    user = "***@" if "@" in parts.netloc else ""
    return urlunsplit((parts.scheme, f"{user}{host}", parts.path, "***" if parts.query else "", ""))


def glimpse(source: Source) -> Found | None:
    """Return the file that would be taken now, of a path or a folder; None for an address. Raises UsageError."""
    if source.kind is Kind.ADDRESS:
        return None
    place = Path(source.place)
    try:
        if source.kind is Kind.FOLDER:
            files = [file for file in drop_folder.look(place).files if not file.name.endswith(_REPORTS)]
            if not files:
                raise UsageError(f"There is no roster in {place}")
            return max(files, key=lambda file: (file.changed, file.name))
        status = place.stat()
    except FileNotFoundError:
        raise UsageError(f"{place} is not there") from None
    except OSError as error:
        raise UsageError(f"{place} cannot be read: {error.strerror}") from None
    return drop_folder.Found(path=str(place), name=place.name, size=status.st_size, changed=status.st_mtime)


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
        _fetch(source, path)
        yield Roster(path=path, name=name)


def _name_of(address: str) -> str:
    return PurePosixPath(unquote(urlsplit(address).path)).name or "roster.csv"


def _fetch(source: Source, path: Path) -> None:
    """Fetch an address piece by piece; what the library says of a failure holds the address, and is not told."""
    import fsspec  # noqa: PLC0415 - a tenth of a second that only a schedule costs

    scheme = source.place.partition("://")[0].casefold()
    options: dict[str, Any] = {"block_size": 0} if scheme in {"http", "https"} else {}
    try:
        with fsspec.open(source.place, "rb", **options) as remote, path.open("wb") as local:
            whole = _copy(remote, local)
    except ImportError:
        package = PACKAGES[scheme]
        raise UsageError(f"{scheme}:// needs the Python package {package}; install it beside Roster") from None
    except Exception as error:  # noqa: BLE001 - each kind of address has errors of its own
        raise UsageError(f"{source.shown} {_said(error)}") from None
    if not whole:
        raise UsageError(f"{source.shown} is larger than {LARGEST >> 20} MB, so it was not fetched")


def _said(error: Exception) -> str:
    """Return what became of a fetch, without the library's own words."""
    cause: BaseException = error
    while cause.__cause__ is not None:  # over HTTP whatever happens is called "not found" at first
        cause = cause.__cause__
    status = getattr(cause, "status", None)
    if isinstance(status, int) and status != HTTPStatus.NOT_FOUND:
        return f"could not be fetched: its host answered {status}"
    if isinstance(cause, FileNotFoundError) or status == HTTPStatus.NOT_FOUND:
        return "is not there"
    if isinstance(cause, PermissionError):
        return "may not be read with this account"
    if isinstance(cause, OSError):
        return "could not be fetched: its host cannot be reached"
    return f"could not be fetched ({type(cause).__name__})"


def _copy(remote: BinaryIO, local: BinaryIO) -> bool:
    """Copy a file as it comes; False when it is too large, and was left off."""
    while piece := remote.read(_PIECE):
        if local.tell() + len(piece) > LARGEST:
            return False
        local.write(piece)
    return True
