"""Find the encoding of a text file: certain, or given with --encoding; never guessed silently.

In order: byte order mark, UTF-16 without one, strict UTF-8 over the whole file, then detectors.py.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from pathlib import Path

from worker.errors import UncertainEncoding, UnreadableRoster, UsageError
from worker.intake.csv_files.codec_names import ENCODINGS, codec_name
from worker.intake.problems import quote

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CHUNK_BYTES = 2**20
_HEAD_BYTES = 4096
_ZEROS_OF_UTF16 = 5


@dataclass(frozen=True, slots=True)
class Encoding:
    """A codec's name, and how it was found."""

    name: str
    #: For the notes of the file, such as "from its byte order mark"; empty for plain UTF-8.
    evidence: str = ""

    def __str__(self) -> str:
        """Return both, for a message."""
        return f"{self.name} ({self.evidence})" if self.evidence else self.name


def find_encoding(path: Path, *, name: str, requested: str | None = None) -> Encoding:
    """Return the encoding of a text file.

    Raises UncertainEncoding, which has names as each candidate decodes them, when it is not certain;
    UnreadableRoster when the file cannot be decoded; UsageError when `requested` is not an encoding.
    """
    codec = _requested_codec(requested) if requested is not None else None
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    found = _from_byte_order_mark(head) or (Encoding(codec, "from --encoding") if codec else _unmarked_utf16(head))
    if found:
        if not can_decode(path, found.name):
            raise UnreadableRoster(
                f"{name}: the file cannot be read as {found}: some bytes are not valid in "
                "this encoding. Give the right encoding with --encoding NAME, or save the file as CSV UTF-8."
            )
        return found
    if can_decode(path, "utf-8"):
        return Encoding("utf-8")
    return _detect(path, name=name)


def is_unicode(head: bytes) -> bool:
    """Return whether the first bytes of a file show UTF-8 with a byte order mark, UTF-16 or UTF-32."""
    return (_from_byte_order_mark(head) or _unmarked_utf16(head[:_HEAD_BYTES])) is not None


def can_decode(path: Path, encoding: str) -> bool:
    """Return whether the whole file can be decoded."""
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    with path.open("rb") as file:
        try:
            while chunk := file.read(_CHUNK_BYTES):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeError:
            return False
    return True


def _requested_codec(requested: str) -> str:
    codec = codec_name(requested)
    if codec is None:
        raise UsageError(
            f"--encoding: {quote(requested)} is not an encoding of rosters. Common ones are utf-8, cp1252 (Western "
            "Windows), mac-roman, cp1250, cp1251, cp932, gb18030 and utf-16; "
            f"all are {', '.join(sorted(ENCODINGS))}."
        )
    return codec


def _from_byte_order_mark(head: bytes) -> Encoding | None:
    return next(
        (Encoding(codec, "from its byte order mark") for mark, codec in _BYTE_ORDER_MARKS if head.startswith(mark)),
        None,
    )


def _unmarked_utf16(head: bytes) -> Encoding | None:
    """Detect UTF-16 without a mark: more than a fifth of every other byte is zero, and none of those between."""
    even, odd = head[::2], head[1::2]
    for zeros, letters, codec in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if zeros.count(0) * _ZEROS_OF_UTF16 > len(zeros) and not letters.count(0):
            return Encoding(codec, "detected")
    return None


def _detect(path: Path, *, name: str) -> Encoding:
    from worker.intake.csv_files import detectors  # noqa: PLC0415 - few files need them, and they are slow to load

    with path.open("rb") as file:
        fields, raw = detectors.sample(file)
    found = detectors.detect_encoding(fields, raw)
    if found and can_decode(path, found):
        return Encoding(found, "detected")
    readings = detectors.decode_samples(fields, raw)
    possible = f": it may be {' or '.join(readings)}" if readings else ""
    raise UncertainEncoding(
        f"{name}: the encoding of the file is not certain{possible}. "
        "Give the right encoding with --encoding NAME, or save the file as CSV UTF-8.",
        readings,
    )
