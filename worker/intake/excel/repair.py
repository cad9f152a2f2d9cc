"""Copy workbooks that calamine refuses although spreadsheet programs open them, without what it objects to."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path

from worker.intake.excel.xml_parts import (
    Attributes,
    find_part,
    local_name,
    open_part,
    parse_xml,
    relations_of,
    resolve,
)

ODS_TYPE = "application/vnd.oasis.opendocument.spreadsheet"
_MANIFEST = (
    '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">'
    f'<manifest:file-entry manifest:full-path="/" manifest:media-type="{ODS_TYPE}"/></manifest:manifest>'
)
_SHEET = re.compile(rb"<((?:\w+:)?sheet)\b([^>]*?)(?:/>|>\s*</\1\s*>)")
_RELATION = re.compile(rb"""\w+:id\s*=\s*["']([^"']*)["']""")
_SHEET_TYPES = ("/worksheet", "/chartsheet", "/dialogsheet")


def with_ods_type(path: Path) -> Path:
    """Return the path of a copy of an ODS document that states its type, or the document's own path if it does."""
    with zipfile.ZipFile(path) as archive:
        missing = {"mimetype": ODS_TYPE, "META-INF/manifest.xml": _MANIFEST}
        missing = {name: text for name, text in missing.items() if name not in archive.namelist()}
    if not missing:
        return path
    copy = path.with_name(f"typed.{path.name}")
    shutil.copyfile(path, copy)
    with zipfile.ZipFile(copy, "a") as archive:
        for name, text in missing.items():
            archive.writestr(name, text)
    return copy


def without_foreign_sheets(path: Path) -> Path | None:
    """Return the path of a copy of an XLSX workbook without macro sheets and sheets that have no part.

    None when there are none, or nothing else. Raises UnknownStructure when the workbook cannot be read.
    """
    with zipfile.ZipFile(path) as archive:
        workbook = find_part(archive, "workbook.xml")
        known = _sheet_relations(archive, workbook)
        name = next(part for part in archive.namelist() if part.replace("\\", "/").lstrip("/") == workbook)
        content = archive.read(name)
        kept, total = _SHEET.subn(lambda found: found[0] if _relation(found[2]) in known else b"", content)
        if kept == content or not _SHEET.search(kept) or not total:
            return None
        copy = path.with_name(f"worksheets.{path.name}")
        with zipfile.ZipFile(copy, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new:
            for part in archive.infolist():
                with archive.open(part) as old, new.open(part.filename, "w") as target:
                    target.write(kept) if part.filename == name else shutil.copyfileobj(old, target)
    return copy


def _relation(attributes: bytes) -> str:
    found = _RELATION.search(attributes)
    return found[1].decode(errors="replace") if found else ""


def _sheet_relations(archive: zipfile.ZipFile, workbook: str) -> set[str]:
    """Return the ids of the relations of a workbook to sheets that are there."""
    parts = {part.replace("\\", "/").lstrip("/").lower() for part in archive.namelist()}
    known: set[str] = set()

    def start(element: str, attributes: Attributes) -> None:
        is_sheet = local_name(element) == "Relationship" and attributes.get("Type", "").endswith(_SHEET_TYPES)
        if is_sheet and resolve(workbook, attributes.get("Target", "")).lower() in parts:
            known.add(attributes.get("Id", ""))

    with open_part(archive, relations_of(workbook)) as part:
        parse_xml(part, start)
    return known
