"""What calamine does not show of an XLSX workbook: leading zeros by number format, errors, formulas without value.

A second look at the sheet's own XML, taken only when two cheap questions say that there is something to see. It
adds to single cells of what calamine has read and is held against it cell by cell, so that it cannot lose a row.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from defusedxml.ElementTree import iterparse

from worker.intake.sheet_scan import Marked, Unsure, scan_sheet
from worker.intake.zero_formats import shows_zeros

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

#: An error cell, or a formula.
_WORTH_A_LOOK = re.compile(rb"""\bt\s*=\s*["']e["']|<(?:\w+:)?f[\s/>]""")
_CHUNK = 2**20
_OVERLAP = 32


def look_again(path: Path, sheet: str) -> dict[tuple[int, int], Marked]:
    """Return the cells of a sheet, by row and column from 0, that are not what calamine shows.

    Raises Unsure when the workbook is not laid out as Excel does it.
    """
    with zipfile.ZipFile(path) as archive:
        parts = {name.replace("\\", "/").lstrip("/").lower(): name for name in archive.namelist()}
        workbook = _workbook_part(archive, parts)
        relations = _relations(archive, parts, workbook)
        identifiers = dict(_sheets(archive, parts, workbook))
        part = relations.get(identifiers.get(sheet, ""), "")
        if part not in parts:
            raise Unsure
        styles = next((target for target in relations.values() if posixpath.basename(target) == "styles.xml"), "")
        formats = _zero_formats(archive, parts[styles]) if styles in parts else {}
        if not formats and not _worth_a_look(archive, parts[part]):
            return {}
        with archive.open(parts[part]) as xml:
            return scan_sheet(xml, formats)


def _workbook_part(archive: zipfile.ZipFile, parts: dict[str, str]) -> str:
    targets = _relations(archive, parts, "").values()
    named = next((part for part in targets if part.endswith(".xml") and "workbook" in part), "xl/workbook.xml")
    if named not in parts:
        raise Unsure
    return named


def _relations(archive: zipfile.ZipFile, parts: dict[str, str], part: str) -> dict[str, str]:
    """Return the parts to which a part refers, by the name under which it does."""
    folder = posixpath.dirname(part)
    where = posixpath.join(folder, "_rels", posixpath.basename(part) + ".rels").lower()
    if where not in parts:
        return {}
    with archive.open(parts[where]) as xml:
        return {
            element.get("Id", ""): _resolved(folder, element.get("Target", ""))
            for element in _elements(xml, "Relationship")
        }


def _resolved(folder: str, target: str) -> str:
    target = target.replace("\\", "/")
    return posixpath.normpath(
        target.lstrip("/") if target.startswith("/") else posixpath.join(folder, target)
    ).lower()


def _sheets(archive: zipfile.ZipFile, parts: dict[str, str], workbook: str) -> list[tuple[str, str]]:
    with archive.open(parts[workbook]) as xml:
        return [
            (element.get("name", ""), next((value for key, value in element.items() if key.endswith("}id")), ""))
            for element in _elements(xml, "sheet")
        ]


def _zero_formats(archive: zipfile.ZipFile, styles: str) -> dict[str, str]:
    """Return the cell styles whose number format shows leading zeros, with that format."""
    codes: dict[str, str] = {}
    formats: dict[str, str] = {}
    with archive.open(styles) as xml:
        for element in _elements(xml, "numFmt", "cellXfs"):
            if _local(element) == "numFmt":
                codes[element.get("numFmtId", "")] = element.get("formatCode", "")
            else:
                for index, style in enumerate(child for child in element if _local(child) == "xf"):
                    code = codes.get(style.get("numFmtId", ""), "").split(";")[0]
                    if shows_zeros(code):
                        formats[str(index)] = code
    return formats


def _worth_a_look(archive: zipfile.ZipFile, part: str) -> bool:
    tail = b""
    with archive.open(part) as xml:
        while chunk := xml.read(_CHUNK):
            if _WORTH_A_LOOK.search(tail + chunk):
                return True
            tail = chunk[-_OVERLAP:]
    return False


def _elements(xml: IO[bytes], *names: str) -> Iterator[Element]:
    for _, element in iterparse(xml, events=("end",), forbid_dtd=True):
        if _local(element) in names:
            yield element


def _local(element: Element) -> str:
    return element.tag.rpartition("}")[2]
