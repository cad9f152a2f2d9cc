"""Parse the XML parts of a workbook as a stream, without entities, and find the part of a sheet."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Callable
from typing import IO
from xml.parsers import expat

_CHUNK = 2**20
Attributes = dict[str, str]


class UnknownStructure(ValueError):
    """The parts of the workbook cannot be read with certainty."""


def local_name(name: str) -> str:
    """Return the name of an element or attribute without its prefix."""
    return name.rpartition(":")[2]


def parse_xml(
    source: IO[bytes],
    start: Callable[[str, Attributes], None],
    end: Callable[[str], None] | None = None,
    text: Callable[[str], None] | None = None,
) -> None:
    """Parse XML and call a handler at each element and text. Raises UnknownStructure when it is no plain XML."""
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.EntityDeclHandler = _refuse_entities
    try:
        while chunk := source.read(_CHUNK):
            parser.Parse(chunk, False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise UnknownStructure(str(error)) from None


def _refuse_entities(*_: object) -> None:
    raise UnknownStructure("the XML declares entities")


def sheet_part(archive: zipfile.ZipFile, workbook: str, relation: str) -> str:
    """Return the name of the part with a relation's id of the part `workbook`. Raises UnknownStructure."""
    targets: dict[str, str] = {}

    def start(element: str, attributes: Attributes) -> None:
        if local_name(element) == "Relationship":
            targets[attributes.get("Id", "")] = attributes.get("Target", "")

    with open_part(archive, relations_of(workbook)) as part:
        parse_xml(part, start)
    target = targets.get(relation)
    if not target:
        raise UnknownStructure("the sheet has no part")
    return resolve(workbook, target)


def relations_of(part: str) -> str:
    """Return the name of the part with the relations of a part."""
    folder, name = posixpath.split(part)
    return posixpath.join(folder, "_rels", f"{name}.rels")


def resolve(part: str, target: str) -> str:
    """Return the name of the part that a relation of `part` has as its target."""
    return posixpath.normpath(
        target.lstrip("/") if target.startswith("/") else posixpath.join(posixpath.dirname(part), target)
    )


def open_part(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """Open a part by its name, whatever its case and slashes. Raises UnknownStructure when there is none."""
    for part in archive.namelist():
        if part.replace("\\", "/").lstrip("/").lower() == name.lower():
            return archive.open(part)
    raise UnknownStructure(f"there is no part {name}")


def find_part(archive: zipfile.ZipFile, name: str) -> str:
    """Return the first part with this file name. Raises UnknownStructure when there is none."""
    for part in archive.namelist():
        found = part.replace("\\", "/").lstrip("/")
        if posixpath.basename(found).lower() == name:
            return found
    raise UnknownStructure(f"there is no part {name}")
