"""Files elsewhere, by fsspec: fetched whole, put whole, removed; failures in plain words.

An address may hold a password or a signature, and so may what a library says of a failure: no message has either.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

from worker.errors import Unreachable, UsageError

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
#: Kinds of addresses at which files can be kept; `local` is a folder as fsspec sees it.
STORES = frozenset(PACKAGES) - {"http", "https"} | {"local"}
_PIECE = 1 << 20
_WEB = {"http", "https"}
#: With these a put is whole or not at all by itself; fsspec's move takes brackets for a pattern there.
_WHOLE = {"s3", "gs", "gcs", "az", "abfs"}
#: A line that its host dropped must not be taken up again.
_ANEW = {"skip_instance_cache": True}


def is_address(place: str) -> bool:
    """Tell whether a place is elsewhere, and no path of this machine."""
    return "://" in place


def below(address: str, name: str) -> str:
    """Return the address of what is called `name` there."""
    return f"{address.rstrip('/')}/{name}"


def scheme_of(address: str) -> str:
    """Return the kind of an address, such as `s3`."""
    return address.partition("://")[0].casefold()


def refuse_unwritable(address: str) -> None:
    """Raise UsageError when nothing can be kept at such an address."""
    scheme = scheme_of(address)
    if scheme not in STORES:
        known = ", ".join(f"{each}://" for each in sorted(STORES))
        raise UsageError(f"files: nothing can be kept at {scheme}://; known are {known} and paths")


def redacted(address: str) -> str:
    """Return an address without user, password, query and fragment."""
    try:
        parts = urlsplit(address)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return f"{address.partition('://')[0]}://…"
    user = "***@" if "@" in parts.netloc else ""
    return urlunsplit((parts.scheme, f"{user}{host}", parts.path, "***" if parts.query else "", ""))


def fetch(address: str, path: Path, *, largest: float = math.inf) -> None:
    """Write what an address holds into a file of this machine. Raises UsageError, also when it has more bytes."""
    import fsspec  # noqa: PLC0415 - a tenth of a second that only an address costs

    options: dict[str, Any] = {"block_size": 0} if scheme_of(address) in _WEB else {}
    with (
        _in_plain_words(address, "be fetched"),
        fsspec.open(address, "rb", **_ANEW, **options) as remote,
        path.open("wb") as local,
    ):
        whole = _copy(remote, local, largest)
    if not whole:
        raise UsageError(f"{redacted(address)} is larger than {largest / 2**20:.0f} MB, so it was not fetched")


@contextmanager
def at_hand(place: str) -> Iterator[Path]:
    """Have the file at a path or an address on this machine until the block ends. Raises UsageError."""
    if not is_address(place):
        yield Path(place)
        return
    with tempfile.TemporaryDirectory(prefix="roster-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / f"roster{PurePosixPath(urlsplit(place).path).suffix[:10]}"
        fetch(place, path)
        yield path


def put(path: Path, address: str) -> None:
    """Put a file to an address, whole or not at all. Raises UsageError."""
    with _in_plain_words(address, "be written"):
        system, target = _opened(address)
        if scheme_of(address) in _WHOLE:
            system.put_file(str(path), target)
            return
        part = f"{target}.{uuid4().hex[:12]}.part"
        system.makedirs(system._parent(target), exist_ok=True)  # noqa: SLF001 - fsspec has no public name for it
        try:
            system.put_file(str(path), part)
            if scheme_of(address) == "smb" and system.exists(target):
                system.rm_file(target)
            system.mv(part, target)
        except BaseException:
            with suppress(Exception):
                system.rm_file(part)
            raise


def remove(address: str) -> None:
    """Remove a file, or a folder with all that is in it; nothing when it is not there. Raises UsageError."""
    with _in_plain_words(address, "be removed"):
        system, target = _opened(address)
        if system.isdir(target):
            system.rm(target, recursive=True)
        elif system.exists(target):
            system.rm_file(target)


def _opened(address: str) -> tuple[Any, str]:
    import fsspec  # noqa: PLC0415 - a tenth of a second that only an address costs

    system, target = fsspec.core.url_to_fs(address, **_ANEW)
    return system, target


@contextmanager
def _in_plain_words(address: str, what: str) -> Iterator[None]:
    try:
        yield
    except ImportError:
        scheme = scheme_of(address)
        package = PACKAGES.get(scheme) or "for it"
        raise UsageError(f"{scheme}:// needs the Python package {package}; install it beside Roster") from None
    except Exception as error:  # noqa: BLE001 - each kind of address has errors of its own
        cause = _cause(error, address)
        lasting = isinstance(cause, FileNotFoundError | PermissionError) or hasattr(cause, "status")
        kind = UsageError if lasting else Unreachable
        raise kind(f"{redacted(address)} {_said(cause, what)}") from None


def _cause(error: BaseException, address: str) -> BaseException:
    """Return the error of a chain that says most: a plain one, or else the one that began it."""
    chain = [error]
    while (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    if scheme_of(address) in _WEB:  # whatever happens is called "not found" at first
        return chain[-1]
    return next((each for each in chain if isinstance(each, FileNotFoundError | PermissionError)), chain[-1])


def _said(cause: BaseException, what: str) -> str:
    """Return what became of it, without the library's own words."""
    status = getattr(cause, "status", None)
    if isinstance(status, int) and status != HTTPStatus.NOT_FOUND:
        return f"could not {what}: its host answered {status}"
    if isinstance(cause, FileNotFoundError) or status == HTTPStatus.NOT_FOUND:
        return "is not there"
    if isinstance(cause, PermissionError):
        return f"may not {what} with this account"
    if isinstance(cause, OSError):
        return f"could not {what}: its host cannot be reached"
    return f"could not {what} ({type(cause).__name__})"


def _copy(remote: BinaryIO, local: BinaryIO, largest: float) -> bool:
    """Copy a file as it comes; False when it is too large, and was left off."""
    while piece := remote.read(_PIECE):
        if local.tell() + len(piece) > largest:
            return False
        local.write(piece)
    return True


def keep(path: Path, store: str, mark: str) -> str:
    """Copy the file to where it stays, whole or not at all, and return its path or address.

    In a folder it is readable by its owner alone. Raises UsageError when there is no room or no right.
    """
    name = f"{mark[:32]}{path.suffix.lower()[:10]}"
    if is_address(store):
        address = below(store, name)
        put(path, address)
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
