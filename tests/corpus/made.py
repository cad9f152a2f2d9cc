"""Rosters that are made when the tests run: each a few rows with one nasty thing in them."""

from __future__ import annotations

import io
import zipfile
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from openpyxl import Workbook
from openpyxl.styles import Font

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Cell = Any
ID_HEAD = "email,external_id"
NAMES = "email,first_name,last_name"


def ids(*cells: str) -> bytes:
    """Return a CSV with one person for each id, which is written as it is given."""
    lines = [f"p{number}@x.example,{cell}" for number, cell in enumerate(cells, start=1)]
    return "\n".join([ID_HEAD, *lines, ""]).encode()


def dates(*cells: str) -> bytes:
    """Return a CSV with one person for each date of birth."""
    lines = [f"p{number}@x.example,{cell}" for number, cell in enumerate(cells, start=1)]
    return "\n".join(["email,date_of_birth", *lines, ""]).encode()


def emails(*cells: str) -> bytes:
    """Return a CSV with the addresses."""
    return "\n".join(["email,first_name", *(f"{cell},N{number}" for number, cell in enumerate(cells)), ""]).encode()


def workbook(
    rows: Sequence[Sequence[Cell]],
    formats: dict[str, str] | None = None,
    change: Callable[[Workbook], None] = lambda _book: None,
) -> bytes:
    """Return an XLSX with the rows, number formats of some cells, and what `change` does to it."""
    book = Workbook()
    for row in rows:
        book.active.append(list(row))
    for cell, number_format in (formats or {}).items():
        book.active[cell].number_format = number_format
    change(book)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def numbers(first: Cell, *formats: str) -> bytes:
    """Return an XLSX in which the ids are numbers that follow on the first, each under another format."""
    rows = [["email", "external_id"], *([f"p{at}@x.example", first + at] for at in range(len(formats)))]
    return workbook(rows, {f"B{at}": each for at, each in enumerate(formats, start=2)})


def one_person(**more: Any) -> bytes:
    """Return an XLSX with Ann and the options of `workbook`."""
    return workbook([["email", "first_name"], ["ann@x.example", "Ann"]], **more)


def _with_second_sheet(book: Workbook) -> None:
    book.create_sheet("Second").append(["email"])
    book["Second"].append(["bob@x.example"])


def _hide_first_sheet(book: Workbook) -> None:
    _with_second_sheet(book)
    book.active.sheet_state = "hidden"
    book.active = 1


def _hide_row(book: Workbook) -> None:
    book.active.append(["bob@x.example", "Bob"])
    book.active.row_dimensions[3].hidden = True


def _merge_names(book: Workbook) -> None:
    book.active.append(["bob@x.example", None])
    book.active.merge_cells("B2:B3")


def _strike_out(book: Workbook) -> None:
    book.active["A2"].font = Font(strike=True)


def _blank_lines_above(book: Workbook) -> None:
    book.active.insert_rows(1, 3)
    book.active["A1"] = "Spring intake"


def _link(book: Workbook) -> None:
    book.active["A2"].hyperlink = "mailto:other@x.example"


def renamed_parts(content: bytes) -> bytes:
    """Return a workbook whose parts are in another order, as some programs write them."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(changed, "w", zipfile.ZIP_STORED) as new:
        for name in reversed(old.namelist()):
            new.writestr(name, old.read(name))
    return changed.getvalue()


PEOPLE = f"{NAMES}\nann@x.example,Ann,Alpha\nbob@x.example,Bob,Beta\n"
FILES: dict[str, bytes] = {
    # Encodings and lines.
    "utf8.csv": f"{NAMES}\nann@x.example,Zoë,Łuk\n".encode(),
    "utf8-bom.csv": f"{NAMES}\nann@x.example,Zoë,Łuk\n".encode("utf-8-sig"),
    "utf16.csv": f"{NAMES}\nann@x.example,Zoë,Łuk\n".encode("utf-16"),
    "utf16-unmarked.csv": PEOPLE.encode("utf-16-le"),
    "utf32.csv": f"{NAMES}\nann@x.example,Zoë,Łuk\n".encode("utf-32"),
    "greek-cp1253.csv": f"{NAMES}\nann@x.example,Ελένη,Παπαδοπούλου\nbob@x.example,Γιώργος,Νίκου\n".encode(
        "cp1253"
    ),
    "mac-roman.csv": f"{NAMES}\nann@x.example,Zoë,Brontë\n".encode("mac-roman"),
    "cr-lines.csv": PEOPLE.replace("\n", "\r").encode(),
    "crlf-lines.csv": PEOPLE.replace("\n", "\r\n").encode(),
    "no-last-line-end.csv": PEOPLE.rstrip("\n").encode(),
    "ctrl-z.csv": PEOPLE.encode() + b"\x1a",
    "blank-lines.csv": PEOPLE.replace("\n", "\n\n").encode(),
    "semicolon.csv": PEOPLE.replace(",", ";").encode(),
    "tab.csv": PEOPLE.replace(",", "\t").encode(),
    "bar.csv": PEOPLE.replace(",", "|").encode(),
    "sep-line.csv": b"sep=;\n" + PEOPLE.replace(",", ";").encode(),
    "nul.csv": PEOPLE.replace("Ann", "An\0n").encode(),
    "empty.csv": b"",
    "only-headings.csv": f"{NAMES}\n".encode(),
    "html.csv": b"<!DOCTYPE html><table><tr><td>email</td></tr></table>",
    "pdf.csv": b"%PDF-1.7 and so on",
    "binary.csv": bytes(range(256)) * 8,
    # Quotation marks.
    "quoted.csv": b'"email","first_name"\n"ann@x.example","Ann, ""Annie"""\n',
    "quoted-lines.csv": b'email,first_name\nann@x.example,"Ann\nMarie"\n',
    "open-quote.csv": b'email,first_name\nann@x.example,"Ann\nbob@x.example,Bob\n',
    "inch-mark.csv": b'email,first_name\nann@x.example,6" Ann\n',
    # Ids.
    "id-zeros.csv": ids("00123", "0123", "007"),
    "id-scientific.csv": ids("1.23E+16", '"4,5E+12"'),
    "id-decimals.csv": ids("58.0", "59.00"),
    "id-rounded.csv": ids("12345678901234500"),
    "id-apostrophe.csv": ids("'00123", "'7"),
    "id-placeholders.csv": ids("N/A", "-", "none", "NULL", "0"),
    "id-zero-width.csv": ids("A-1\u200b", "\ufeffA-2"),
    "id-no-break-space.csv": ids("\u00a0A-1\u00a0", " A-2 "),
    "id-formula-text.csv": ids('="00123"', '"=""007"""'),
    "id-long.csv": ids("x" * 256, "x" * 255),
    "id-errors.csv": ids("#N/A", "#REF!"),
    "id-true.csv": ids("TRUE", "true"),
    # Addresses.
    "email-broken.csv": emails("ann", "ann@", "@x.example", "a b@x.example", "ann@x", "ann@@x.example"),
    "email-names.csv": emails("Ann <ann@x.example>", "mailto:ann@x.example"),
    "email-case.csv": b"email,first_name\nAnn@X.example,Ann\nann@x.example,Ann\n",
    "email-plus.csv": emails("ann+a@x.example", "ann+b@x.example"),
    "email-long.csv": emails(f"{'a' * 64}@x.example", f"{'a' * 65}@x.example"),
    # Dates.
    "date-iso.csv": dates("1990-05-03", "1990/05/03", "19900503", "1990-05-03 10:00"),
    "date-day-first.csv": dates("03/05/1990", "25/12/1990"),
    "date-month-first.csv": dates("05/03/1990", "12/25/1990"),
    "date-undecided.csv": dates("03/05/1990", "04/05/1990"),
    "date-contradictory.csv": dates("25/12/1990", "12/25/1990", "03/05/1990"),
    "date-dots.csv": dates("3.5.1990", "31.12.1990"),
    "date-names.csv": dates("3 May 1990", '"May 3, 1990"', "3-May-1990"),
    "date-two-digits.csv": dates("03/05/90"),
    "date-impossible.csv": dates("1990-02-30", "1990-13-01", "0000-00-00", "today"),
    "date-future.csv": dates("2999-01-01"),
    # Headings.
    "heading-aliases.csv": b"E-Mail *,Forename,SURNAME,DOB,Login ID\nann@x.example,Ann,Alpha,1990-05-03,ann\n",
    "heading-below-title.csv": b"Spring intake,,\n,,\nemail,first_name,last_name\nann@x.example,Ann,Alpha\n",
    "heading-none.csv": b"ann@x.example,Ann,Alpha\nbob@x.example,Bob,Beta\n",
    "heading-twice.csv": b"email,E-mail\nann@x.example,ann@y.example\n",
    "heading-underscore.csv": b"email,_status,_error\nann@x.example,rejected,Old\n",
    "heading-dots.csv": b"email" + b"." * 5_000 + b",first_name\nann@x.example,Ann\n",
    # Rows.
    "row-short.csv": b"email,first_name,last_name\nann@x.example\nbob@x.example,Bob,Beta\n",
    "row-long.csv": b"email,first_name\nann@x.example,Ann,Alpha\n",
    "row-twice.csv": b"email,first_name\nann@x.example,Ann\nann@x.example,Ann\n",
    "same-id-cyrillic.csv": (
        "email,external_id,first_name,last_name\nivan@x.example,A-1,Иван,Иванов\npetr@x.example,A-1,Пётр,Петров\n"
    ).encode(),
    "siblings-greek.csv": "email,first_name\nhome@x.example,Νίκος\nhome@x.example,Ελένη\n".encode(),
    "row-without-person.csv": b"email,first_name\n,Ann\nbob@x.example,Bob\n",
    "report-again.csv": b"email,first_name,_row,_status\nann@x.example,''=Ann;''-1,2,rejected\n",
    # Workbooks.
    "plain.xlsx": one_person(),
    "zeros.xlsx": numbers(123, "00000", "0000000", '00" "000', "[Red]00000", "General", "@", "0"),
    "digits.xlsx": numbers(123456789012345, "General", "0"),
    "too-many-digits.xlsx": numbers(1234567890123450000, "General", "0"),
    "decimals.xlsx": numbers(58.0, "General", "0"),
    "texts.xlsx": workbook([["email", "external_id"], ["p1@x.example", "00123"], ["p2@x.example", "1E5"]]),
    "dates.xlsx": workbook(
        [
            ["email", "date_of_birth"],
            ["p1@x.example", date(1990, 5, 3)],
            ["p2@x.example", datetime.fromisoformat("1990-05-03T10:00")],
        ]
    ),
    "text-sections.xlsx": workbook(
        [["email", "external_id"], *([f"p{at}@x.example", "A7"] for at in range(4))],
        {"B2": '"STU-"@', "B3": '0;0;0;"X-"@', "B4": ";;;", "B5": "@"},
    ),
    "dates-for-texts.xlsx": workbook(
        [
            ["email", "first_name", "address"],
            ["p1@x.example", date(1990, 5, 3), "1"],
            ["p2@x.example", "Ann", date(1990, 5, 3)],
        ],
        {"B2": "mmm-yy", "C3": "d/m"},
    ),
    "errors.xlsx": workbook([["email", "external_id"], ["p1@x.example", "#N/A"], ["p2@x.example", "A-2"]]),
    "formula-without-value.xlsx": workbook([["email", "external_id"], ["p1@x.example", "=1+1"]]),
    "hidden-row.xlsx": one_person(change=_hide_row),
    "hidden-first-sheet.xlsx": one_person(change=_hide_first_sheet),
    "second-sheet.xlsx": one_person(change=_with_second_sheet),
    "merged.xlsx": one_person(change=_merge_names),
    "struck-out.xlsx": one_person(change=_strike_out),
    "title-above.xlsx": one_person(change=_blank_lines_above),
    "link.xlsx": one_person(change=_link),
    "reversed-parts.xlsx": renamed_parts(one_person()),
    "cut-off.xlsx": one_person()[:-500],
    "not-a-workbook.xlsx": b"PK\x05\x06" + b"\0" * 18,
}
