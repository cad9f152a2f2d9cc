"""The same small roster in every type of workbook: formatted ids, an error, a merged course, a hidden row.

| row | external_id | email        | first_name | last_name | course_id | score |
|-----|-------------|--------------|------------|-----------|-----------|-------|
| 2   | 00007       | a@x.example  | Ana        | Alpha     | 59        | 85%   |
| 3   | #N/A        | b@x.example  | Ben        | Beta      | (merged)  | 70    |
| 4   | 00009       | c@x.example  | Cam        | Gamma     | 58        | 71.5  |  hidden
| 5   | 00010       | d@x.example  | Dee        | Delta     | 58        | 72    |

The XLS file was written with xlwt, which nothing else here needs.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path
from xml.sax.saxutils import escape

import xlsxwriter

HEADINGS = ("external_id", "email", "first_name", "last_name", "course_id", "score")
PEOPLE = (("a", "Ana", "Alpha"), ("b", "Ben", "Beta"), ("c", "Cam", "Gamma"), ("d", "Dee", "Delta"))
SCORES = (0.85, 70, 71.5, 72)
FILES = Path(__file__).parent / "unit/intake/excel/files"
_ODS_TYPE = "application/vnd.oasis.opendocument.spreadsheet"


def xlsx() -> bytes:
    content = io.BytesIO()
    book = xlsxwriter.Workbook(content, {"in_memory": True})
    sheet = book.add_worksheet("Roster")
    zeros, percent = book.add_format({"num_format": "00000"}), book.add_format({"num_format": "0%"})
    sheet.write_row(0, 0, HEADINGS)
    for at, (name, first, last) in enumerate(PEOPLE, start=1):
        sheet.write_row(at, 1, (f"{name}@x.example", first, last, 58))
        sheet.write(at, 0, at + 6, zeros)
        sheet.write(at, 5, SCORES[at - 1], percent if at == 1 else None)
    sheet.write_formula(2, 0, "=NA()", value="#N/A")
    sheet.merge_range(1, 4, 2, 4, 59)
    sheet.set_row(3, None, None, {"hidden": True})
    sheet.set_column(3, 3, None, None, {"hidden": True})
    book.close()
    return content.getvalue()


def xls() -> bytes:
    return (FILES / "hidden_merged_and_formatted.xls").read_bytes()


def ods(*, visibility: str = "filter", with_type: bool = True) -> bytes:
    rows = ["".join(_ods_text(heading) for heading in HEADINGS)]
    for at, (name, first, last) in enumerate(PEOPLE, start=1):
        identifier = _ods_number(at + 6, f"{at + 6:05}")
        if at == 2:
            identifier = (
                '<table:table-cell table:formula="of:=NA()" office:value-type="string" office:string-value="" '
                'calcext:value-type="error"><text:p>#N/A</text:p></table:table-cell>'
            )
        course = {
            1: _ods_number(59, "59", 'table:number-rows-spanned="2" table:number-columns-spanned="1"'),
            2: "<table:covered-table-cell/>",
        }.get(at, _ods_number(58, "58"))
        score = _ods_number(SCORES[at - 1], f"{SCORES[at - 1]}")
        if at == 1:
            score = (
                '<table:table-cell office:value-type="percentage" office:value="0.85"><text:p>85%</text:p>'
                "</table:table-cell>"
            )
        names = "".join(_ods_text(text) for text in (f"{name}@x.example", first, last))
        rows.append(identifier + names + course + score)
    body = "".join(
        f"<table:table-row{f' table:visibility={chr(34)}{visibility}{chr(34)}' if at == 3 else ''}>"
        f"{row}</table:table-row>"
        for at, row in enumerate(rows)
    )
    columns = (
        '<table:table-column table:number-columns-repeated="3"/><table:table-column table:visibility="collapse"/>'
    )
    return _ods_archive(f'<table:table table:name="Roster">{columns}{body}</table:table>', with_type=with_type)


def _ods_archive(tables: str, *, with_type: bool = True) -> bytes:
    names = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text")
    )
    extension = 'xmlns:calcext="urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0"'
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as parts:
        if with_type:
            parts.writestr("mimetype", _ODS_TYPE)
        parts.writestr(
            "content.xml",
            f'<?xml version="1.0"?><office:document-content {names} {extension}><office:body><office:spreadsheet>'
            f"{tables}</office:spreadsheet></office:body></office:document-content>",
        )
        parts.writestr(
            "META-INF/manifest.xml",
            '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">'
            f'<manifest:file-entry manifest:full-path="/" manifest:media-type="{_ODS_TYPE}"/></manifest:manifest>',
        )
    return archive.getvalue()


def _ods_text(text: str) -> str:
    return f'<table:table-cell office:value-type="string"><text:p>{escape(text)}</text:p></table:table-cell>'


def _ods_number(number: float, shown: str, more: str = "") -> str:
    return (
        f'<table:table-cell office:value-type="float" office:value="{number}" {more}><text:p>{shown}</text:p>'
        "</table:table-cell>"
    )


def xlsb() -> bytes:
    """Return the roster as XLSB, of the records alone that a reader needs ([MS-XLSB])."""
    rows = [_row(0) + b"".join(_text_cell(at, heading) for at, heading in enumerate(HEADINGS))]
    for at, (name, first, last) in enumerate(PEOPLE, start=1):
        error = at == 2
        rows.append(
            _row(at, is_hidden=at == 3)
            + (_record(3, _cell(0) + b"\x2a") if error else _number_cell(0, at + 6, style=1))
            + b"".join(_text_cell(1 + i, text) for i, text in enumerate((f"{name}@x.example", first, last)))
            + (b"" if error else _number_cell(4, 59 if at == 1 else 58))
            + _number_cell(5, SCORES[at - 1], style=2 if at == 1 else 0)
        )
    sheet = (
        _record(129, b"")
        + _record(390, b"")
        + _record(60, struct.pack("<IIIIH", 3, 3, 2340, 0, 1))
        + _record(391, b"")
        + _record(148, struct.pack("<IIII", 0, len(PEOPLE), 0, 5))
        + _record(145, b"")
        + b"".join(rows)
        + _record(146, b"")
        + _record(176, struct.pack("<IIII", 1, 2, 4, 4))
        + _record(130, b"")
    )
    styles = (
        _record(615, struct.pack("<I", 1))
        + _record(44, struct.pack("<H", 164) + _wide("00000"))
        + _record(616, b"")
        + _record(617, struct.pack("<I", 3))
        + b"".join(_record(47, struct.pack("<HHHHHBBBB", 0, number, 0, 0, 0, 0, 0, 0, 0)) for number in (0, 164, 9))
        + _record(618, b"")
    )
    book = (
        _record(131, b"")
        + _record(143, b"")
        + _record(156, struct.pack("<II", 0, 1) + _wide("rId1") + _wide("Roster"))
        + _record(144, b"")
        + _record(132, b"")
    )
    relation = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as parts:
        parts.writestr("xl/workbook.bin", book)
        parts.writestr("xl/styles.bin", styles)
        parts.writestr("xl/worksheets/sheet1.bin", sheet)
        parts.writestr(
            "xl/_rels/workbook.bin.rels",
            '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship '
            f'Id="rId1" Type="{relation}/worksheet" Target="worksheets/sheet1.bin"/></Relationships>',
        )
    return archive.getvalue()


def _record(kind: int, content: bytes) -> bytes:
    head = bytes([kind]) if kind < 0x80 else bytes([kind & 0x7F | 0x80, kind >> 7])
    size, length = len(content), b""
    while size >= 0x80:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    return head + length + bytes([size]) + content


def _wide(text: str) -> bytes:
    return struct.pack("<I", len(text)) + text.encode("utf-16-le")


def _cell(column: int, style: int = 0) -> bytes:
    return struct.pack("<II", column, style)


def _text_cell(column: int, text: str) -> bytes:
    return _record(6, _cell(column) + _wide(text))


def _number_cell(column: int, number: float, style: int = 0) -> bytes:
    if number == int(number):
        return _record(2, _cell(column, style) + struct.pack("<i", int(number) << 2 | 2))
    return _record(5, _cell(column, style) + struct.pack("<d", number))


def _row(number: int, *, is_hidden: bool = False) -> bytes:
    return _record(0, struct.pack("<IIHBB", number, 0, 300, 0, 0x10 if is_hidden else 0) + bytes(5))


def types() -> Iterable[tuple[str, bytes]]:
    """Yield the roster in every type."""
    yield from (("xlsx", xlsx()), ("xls", xls()), ("xlsb", xlsb()), ("ods", ods()))
