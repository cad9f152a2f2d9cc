"""Receive an uploaded roster: the form is parsed while it streams in, the file goes to disk, memory stays flat."""

from __future__ import annotations

import secrets
import time
import unicodedata
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from worker import control
from worker.intake.accept import Origin
from worker.private_files import create_private_file, make_private_folder
from worker.web import csrf, limits
from worker.web.problems import HttpProblem

if TYPE_CHECKING:
    from starlette.requests import Request

    from worker.bootstrap import Services
    from worker.jobs.submission import Submission
    from worker.model import Actor
    from worker.web.forms import JobRequest

#: The fields next to the file: their number, the bytes of one, the bytes of all together.
MAX_FIELDS, MAX_FIELD_BYTES, MAX_FIELDS_BYTES = 500, 64 * 1024, 256 * 1024
#: What the form itself adds to the file and its fields (bytes).
FORM_OVERHEAD_BYTES = 512 * 1024
#: How much is buffered before it is written.
BLOCK_BYTES = 1024 * 1024
MAX_NAME = 200
FILE_FIELD = "file"
#: An upload older than this is no longer in progress (seconds).
STALE_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A roster on disk under a random name; `name` is the sender's name of it, only for display."""

    path: Path
    name: str
    fields: list[tuple[str, str]]

    def discard(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)


async def receive_upload(request: Request, *, into: Path, limit: int) -> Upload:
    """Stream a multipart form's file into a folder and return it with the other fields.

    `limit` is the largest file in bytes. Raises HttpProblem: 413 when it is larger, 415 when this is not such a
    form, 422 when it has no file, 403 when the form's CSRF token is wrong; nothing stays on disk then.
    """
    form = _UploadForm(request, into, limit)
    try:
        async for chunk in request.stream():
            form.feed(chunk)
            if len(form.block) >= BLOCK_BYTES:
                await run_in_threadpool(form.write)
        await run_in_threadpool(form.write)
        return form.end()
    except BaseException as error:
        form.discard()
        if isinstance(error, FormParserError):
            raise HttpProblem(400, "The form cannot be read: it is not well-formed multipart/form-data") from None
        if isinstance(error, ClientDisconnect):
            raise HttpProblem(400, "The upload was cut off") from None
        if isinstance(error, OSError):
            raise HttpProblem(507, "The server's storage is full. Nothing was sent") from None
        raise


def remove_stale_uploads(into: Path) -> None:
    """Remove uploads left over from a server that was killed."""
    with suppress(OSError):
        for path in into.iterdir():
            if path.is_file() and path.stat().st_mtime < time.time() - STALE_SECONDS:
                path.unlink(missing_ok=True)


def display_name(name: str) -> str:
    """Return a file name for display: without folders and control characters, and shortened."""
    base = PurePosixPath(name.replace("\\", "/")).name
    shown = "".join(letter for letter in base if unicodedata.category(letter)[0] != "C").strip()
    stem, suffix = PurePosixPath(shown).stem, PurePosixPath(shown).suffix[:10]
    return f"{stem[: MAX_NAME - len(suffix)]}{suffix}" if shown.strip(".") else "roster"


@dataclass
class _Part:
    """One part of the form, as far as it was received."""

    headers: dict[str, str] = field(default_factory=dict)
    name: str = ""
    is_file: bool = False
    header: tuple[bytearray, bytearray] = field(default_factory=lambda: (bytearray(), bytearray()))
    text: bytearray = field(default_factory=bytearray)


class _UploadForm:
    """The form, filled by the callbacks of the parser."""

    def __init__(self, request: Request, into: Path, limit: int) -> None:
        kind, options = parse_options_header(request.headers.get("content-type"))
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not boundary:
            raise HttpProblem(415, f"Send the roster as multipart/form-data, in a field named {FILE_FIELD}")
        self._request = request
        self._into = into
        self._limit = limit
        self._most_bytes = limit + MAX_FIELDS_BYTES + FORM_OVERHEAD_BYTES
        self._received = 0
        self._parts = 0
        self._check_content_length()
        self.block = bytearray()
        self._size = 0
        self._file: BinaryIO | None = None
        self._path: Path | None = None
        self._name = ""
        self._fields: list[tuple[str, str]] = []
        self._field_bytes = 0
        self._part = _Part()
        self._ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._part_begin,
                    "on_header_field": lambda data, start, end: self._part.header[0].extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._part.header[1].extend(data[start:end]),
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_finished,
                    "on_part_data": self._part_data,
                    "on_part_end": self._part_end,
                    "on_end": self._end,
                },
            )
        except FormParserError:
            raise HttpProblem(400, "The form's boundary is too long") from None

    def feed(self, chunk: bytes) -> None:
        self._received += len(chunk)
        if self._received > self._most_bytes:
            raise self._too_large()
        self._parser.write(chunk)

    def write(self) -> None:
        """Write the buffer to the file."""
        if self._file is not None and self.block:
            self._file.write(self.block)
            self.block.clear()

    def end(self) -> Upload:
        if not self._ended:
            raise HttpProblem(400, "The form was cut off before its end")
        if self._path is None or self._file is None:
            raise HttpProblem(422, f"No file selected. Choose a roster (field {FILE_FIELD})")
        self._file.close()
        return Upload(path=self._path, name=self._name, fields=self._fields)

    def discard(self) -> None:
        with suppress(OSError):
            if self._file is not None:
                self._file.close()
            if self._path is not None:
                self._path.unlink(missing_ok=True)

    def _check_content_length(self) -> None:
        if limits.content_length_of(self._request) > self._most_bytes:
            raise self._too_large()

    def _too_large(self) -> HttpProblem:
        most = self._limit / 1024**2
        return HttpProblem(413, f"The file is larger than {most:g} MB. Split it and upload the parts separately")

    def _part_begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_FIELDS + 1:
            raise HttpProblem(413, "The form has too many fields")
        self._part = _Part()

    def _header_end(self) -> None:
        name, value = (bytes(each).decode("utf-8", "replace") for each in self._part.header)
        self._part.headers[name.strip().lower()] = value
        self._part.header = (bytearray(), bytearray())

    def _headers_finished(self) -> None:
        disposition = self._part.headers.get("content-disposition", "")
        # The parser takes latin-1 alone; browsers send names in UTF-8.
        _, options = parse_options_header(disposition.encode().decode("latin-1"))
        part = self._part
        part.name = options.get(b"name", b"").decode("utf-8", "replace")
        part.is_file = b"filename" in options
        if part.is_file:
            self._open_file(options[b"filename"].decode("utf-8", "replace"))

    def _open_file(self, name: str) -> None:
        if self._part.name != FILE_FIELD:
            raise HttpProblem(422, f"Send the roster in the field {FILE_FIELD}")
        if not name.strip():
            raise HttpProblem(422, f"No file selected. Choose a roster (field {FILE_FIELD}, with a file name)")
        if self._file is not None:
            raise HttpProblem(422, "Upload one roster at a time: the form has several files")
        if getattr(self._request.state, "csrf_in_form", False):
            sent = [value for name, value in self._fields if name == csrf.FIELD]
            if not sent or not csrf.matches(self._request.state.caller, sent[0]):
                csrf.refuse()
        self._name = display_name(name)
        suffix = "".join(letter for letter in PurePosixPath(self._name).suffix.lower() if letter.isascii())
        make_private_folder(self._into)
        self._path = self._into / f"{secrets.token_hex(16)}{suffix if suffix[1:].isalnum() else ''}"
        self._file = create_private_file(self._path)

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._part.is_file:
            self._size += end - start
            if self._size > self._limit:
                raise self._too_large()
            self.block += data[start:end]
            return
        self._field_bytes += end - start
        if len(self._part.text) + end - start > MAX_FIELD_BYTES or self._field_bytes > MAX_FIELDS_BYTES:
            raise HttpProblem(413, "The form's fields are too long")
        self._part.text += data[start:end]

    def _part_end(self) -> None:
        if self._part.is_file:
            return
        self._fields.append((self._part.name, bytes(self._part.text).decode("utf-8", "replace")))

    def _end(self) -> None:
        self._ended = True


def submit_upload(
    services: Services, actor: Actor, upload: Upload, job_request: JobRequest, *, origin: str
) -> Submission:
    """Submit an uploaded roster as a job; its file may be discarded afterwards.

    Raises UsageError when it cannot be stored.
    """
    submitted = control.submit(
        services,
        upload.path,
        name=upload.name,
        connection=job_request.connection,
        options=job_request.options,
        report_dir=None,
        origin=Origin(
            channel=origin, user=None if actor.name == "-" else actor.name, start_at=job_request.start_at
        ),
        actor=actor,
    )
    return submitted.submission
