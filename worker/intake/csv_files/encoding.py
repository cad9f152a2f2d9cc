"""The encoding of a text file: certain, or asked for; never guessed in silence.

In order: byte order mark, UTF-16 without one, strict UTF-8 over the whole file, then what detectors.py finds out.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from pathlib import Path

from worker.errors import UncertainEncoding, UnreadableRoster, UsageError

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CHUNK = 2**20
_HEAD = 4096
_ZEROS_OF_UTF16 = 5


@dataclass(frozen=True, slots=True)
class Encoding:
    """A codec's name, and how we came by it."""

    name: str
    #: For the notes of the file: "by its byte order mark", "as --encoding says", …
    because: str


def find_encoding(path: Path, *, name: str, asked: str | None = None) -> Encoding:
    """Return the encoding of a text file.

    Raises UnreadableRoster when it is not certain, listing names as each candidate reads them, or when the file
    cannot be decoded; UsageError when `asked` is no encoding.
    """
    codec = _known(asked) if asked is not None else None
    with path.open("rb") as file:
        head = file.read(_HEAD)
    found = _marked(head) or (Encoding(codec, "as --encoding says") if codec else _utf16(head))
    if found:
        if not decodes(path, found.name):
            raise UnreadableRoster(
                f"{name}: the file cannot be read as {found.name} ({found.because}): some bytes are none of its "
                "letters. Give its true encoding with --encoding NAME, or save it as CSV UTF-8."
            )
        return found
    if decodes(path, "utf-8"):
        return Encoding("utf-8", "every byte of it is valid")
    return _find_out(path, name=name)


def looks_unicode(head: bytes) -> bool:
    """Tell whether the first bytes of a file say that it is UTF-8 with a mark, UTF-16 or UTF-32."""
    return (_marked(head) or _utf16(head[:_HEAD])) is not None


def decodes(path: Path, encoding: str) -> bool:
    """Tell whether the whole file can be decoded."""
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    with path.open("rb") as file:
        try:
            while chunk := file.read(_CHUNK):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeError:
            return False
    return True


def _known(asked: str) -> str:
    try:
        "a,b".encode(asked)
        codecs.getincrementaldecoder(asked)
        return codecs.lookup(asked).name
    except (LookupError, ValueError) as error:
        raise UsageError(
            f'--encoding: "{asked}" is not an encoding; common ones are utf-8, cp1252 (Western Windows), '
            "mac-roman, cp1250, cp1251, cp932, gb18030, utf-16."
        ) from error


def _marked(head: bytes) -> Encoding | None:
    return next(
        (Encoding(codec, "by its byte order mark") for mark, codec in _MARKS if head.startswith(mark)), None
    )


def _utf16(head: bytes) -> Encoding | None:
    """Spot UTF-16 without a mark: more than a fifth of every other byte is zero, and none of those between."""
    even, odd = head[::2], head[1::2]
    for zeros, letters, codec in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if zeros.count(0) * _ZEROS_OF_UTF16 > len(zeros) and not letters.count(0):
            return Encoding(codec, "every other byte is zero")
    return None


def _find_out(path: Path, *, name: str) -> Encoding:
    from worker.intake.csv_files import detectors  # noqa: PLC0415 - few files need them, and they are slow to load

    with path.open("rb") as file:
        fields, raw = detectors.sample(file)
    found = detectors.agree(fields, raw)
    if found and decodes(path, found):
        return Encoding(found, "found out, and two ways of finding out agree")
    readings = detectors.readings(fields, raw)
    listed = "\n".join(f"  {codec}: {names}" for codec, names in readings.items()) or "  (none can be shown)"
    raise UncertainEncoding(
        f"{name}: the encoding of the file is not certain. Look which of these names are right:\n"
        f"{listed}\nThen give it with --encoding NAME, or save the file as CSV UTF-8.",
        readings,
    )
