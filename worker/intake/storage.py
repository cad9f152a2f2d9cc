"""Store, fetch and remove files in a folder or, with fsspec, at an address; report failures in plain words.

An address may contain a password or a signature, and so may a library's error: no message shows either.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import urlsplit
from uuid import uuid4

from worker.addresses import masked
from worker.errors import MissingFile, Unreachable, UsageError
from worker.private_files import create_private_file, make_private_folder, scratch_folder

#: The Python package that each kind of address needs; None if it needs none.
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
#: They are fetched by `worker.schedules.download`, since a redirect is checked like the address itself.
WEB_SCHEMES = frozenset({"http", "https"})
#: The kinds of address at which files can be stored; `local` is fsspec's name for a folder.
STORE_SCHEMES = frozenset(PACKAGES) - WEB_SCHEMES | {"local"}
#: What is said of an address at which there is nothing.
_MISSING = "does not exist"
_CHUNK = 1 << 20
#: A row of a roster takes about this many bytes.
BYTES_PER_ROW = 80
#: With these a put is atomic by itself, and fsspec's move treats brackets as a pattern.
_ATOMIC_PUT = {"s3", "gs", "gcs", "az", "abfs"}
#: A cached connection may have been closed by its host.
_NEW_CONNECTION = {"skip_instance_cache": True}


def is_address(place: str) -> bool:
    """Return whether a place is an address, and not a path of this machine."""
    return "://" in place


def join_address(address: str, name: str) -> str:
    """Return the address of `name` below an address."""
    return f"{address.rstrip('/')}/{name}"


def scheme_of(address: str) -> str:
    """Return the kind of an address, such as `s3`."""
    return address.partition("://")[0].casefold()


def check_writable(address: str) -> None:
    """Raise UsageError when files cannot be stored at such an address."""
    try:
        urlsplit(address).port  # noqa: B018 - reading it checks it
    except ValueError:
        raise UsageError(
            f"files: {masked(address)} is not a valid address; in a password write @ as %40 and / as %2F"
        ) from None
    if scheme_of(address) not in STORE_SCHEMES:
        known = ", ".join(f"{each}://" for each in sorted(STORE_SCHEMES))
        raise UsageError(f"files: files cannot be stored at {masked(address)}; supported are {known} and paths")


def fetch(address: str, path: Path, *, largest: float = math.inf) -> None:
    """Download an address to a file. Raises UsageError, also when it has more than `largest` bytes."""
    import fsspec  # noqa: PLC0415 - a tenth of a second that only an address costs

    with (
        _plain_errors(address, "be fetched"),
        fsspec.open(address, "rb", **_NEW_CONNECTION) as remote,
        create_private_file(path) as local,
    ):
        whole = _copy(remote, local, largest)
    if not whole:
        raise UsageError(f"{masked(address)} is larger than {largest / 2**20:.0f} MB, so it was not fetched")


@contextmanager
def local_copy(place: str) -> Iterator[Path]:
    """Yield the path of a local copy of the file at a path or address, until the block ends. Raises UsageError."""
    if not is_address(place):
        yield Path(place)
        return
    with scratch_folder() as folder:
        path = folder / f"roster{PurePosixPath(urlsplit(place).path).suffix[:10]}"
        fetch(place, path)
        yield path


def put(path: Path, address: str) -> None:
    """Upload a file to an address, atomically. Raises UsageError."""
    with _plain_errors(address, "be written"):
        system, target = _open_address(address)
        if scheme_of(address) in _ATOMIC_PUT:
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
    """Remove a file, or a folder with its contents; do nothing when it does not exist. Raises UsageError."""
    with _plain_errors(address, "be removed"):
        system, target = _open_address(address)
        if system.isdir(target):
            system.rm(target, recursive=True)
        elif system.exists(target):
            system.rm_file(target)


def _open_address(address: str) -> tuple[Any, str]:
    import fsspec  # noqa: PLC0415 - a tenth of a second that only an address costs

    system, target = fsspec.core.url_to_fs(address, **_NEW_CONNECTION)
    return system, target


@contextmanager
def _plain_errors(address: str, what: str) -> Iterator[None]:
    try:
        yield
    except ImportError:
        scheme = scheme_of(address)
        package = PACKAGES.get(scheme) or "for it"
        raise UsageError(
            f"{scheme}:// needs the Python package {package}; install it into Roster's environment"
        ) from None
    except Exception as error:  # noqa: BLE001 - each kind of address has errors of its own
        cause = _cause(error)
        lasting = isinstance(cause, FileNotFoundError | PermissionError) or hasattr(cause, "status")
        text = _failure_text(cause, what)
        kind = MissingFile if text == _MISSING else UsageError if lasting else Unreachable
        raise kind(f"{masked(address)} {text}") from None


def _cause(error: BaseException) -> BaseException:
    """Return the error of a chain that says most: a missing file or a missing right, or else the first cause."""
    chain = [error]
    while (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    return next((each for each in chain if isinstance(each, FileNotFoundError | PermissionError)), chain[-1])


def _failure_text(cause: BaseException, what: str) -> str:
    """Return what failed and why, without the library's own words."""
    status = getattr(cause, "status", None)
    if isinstance(status, int) and status != HTTPStatus.NOT_FOUND:
        return f"could not {what}: its host answered {status}"
    if isinstance(cause, FileNotFoundError) or status == HTTPStatus.NOT_FOUND:
        return _MISSING
    if isinstance(cause, PermissionError):
        return f"may not {what} by this account"
    if isinstance(cause, OSError):
        return f"could not {what}: its host cannot be reached"
    return f"could not {what} ({type(cause).__name__})"


def _copy(remote: BinaryIO, local: BinaryIO, largest: float) -> bool:
    """Copy a file in chunks; return False when it is too large and was not copied to its end."""
    while piece := remote.read(_CHUNK):
        if local.tell() + len(piece) > largest:
            return False
        local.write(piece)
    return True


def store_roster(path: Path, store: str, digest: str) -> str:
    """Copy a roster into the store, atomically, and return its path or address.

    In a folder only its owner can read it. Raises UsageError when there is no space or no permission.
    """
    name = f"{digest[:32]}{path.suffix.lower()[:10]}"
    if is_address(store):
        address = join_address(store, name)
        put(path, address)
        return address
    return str(_store_in_folder(path, Path(store) / name))


def _store_in_folder(path: Path, target: Path) -> Path:
    files = target.parent
    # Several threads, and processes with one number in several containers, may store the same roster at once.
    part = target.with_name(f"{target.name}.{uuid4().hex[:12]}.part")
    try:
        make_private_folder(files)
        create_private_file(part).close()
        shutil.copyfile(path, part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(target)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise UsageError(
            f"The roster cannot be stored in {files}: {error.strerror}. Nothing was sent; "
            "free some space or set `files`"
        ) from None
    return target


def estimate_rows(stored_path: str) -> int:
    """Return about how many rows a stored roster has, by its size; 0 when this machine has no such file."""
    try:
        return Path(stored_path).stat().st_size // BYTES_PER_ROW
    except OSError:
        return 0
