import io
import re
import zipfile
from datetime import date, datetime

import openpyxl
import pytest
import xlsxwriter

from worker.errors import UnreadableRoster

pytestmark = pytest.mark.usefixtures("forked_readers")

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def workbook(*rows, **sheets):
    """A workbook of text, numbers and dates; further sheets by name."""
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for name, content in sheets.items():
        sheet = book.create_sheet(name)
        for row in content:
            sheet.append(row)
    return saved(book)


def saved(book):
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def cells(file):
    return [row.cells for row in file.rows()]


def flaws(file):
    return [record.flaws for record in file.records()]


def test_cells_are_text_as_the_spreadsheet_shows_it(open_bytes):
    file = open_bytes(
        workbook(
            ["email", "course_id", "score", "date_of_birth", "registration_date", "success"],
            [
                "a@x.example",
                58,
                87.5,
                date(1990, 2, 1),
                datetime(2026, 9, 1, 9, 30),  # noqa: DTZ001 - a cell has no zone
                True,
            ],
            ["b@x.example", 58.0, 0.1 + 0.2, None, None, False],
        ),
        "roster.xlsx",
    )
    assert cells(file) == [
        ("a@x.example", "58", "87.5", "1990-02-01", "2026-09-01 09:30:00", "TRUE"),
        ("b@x.example", "58", "0.3", "", "", "FALSE"),
    ]


def test_rows_keep_their_numbers_when_there_are_blank_rows_and_columns_before_them(open_bytes):
    book = openpyxl.Workbook()
    for place, value in {
        "C3": "email",
        "D3": "external_id",
        "C4": "a@x.example",
        "C7": "b@x.example",
        "D7": 7,
    }.items():
        book.active[place] = value
    book.active["D7"].number_format = "0000"
    file = open_bytes(saved(book))
    assert (file.heading_row, file.headings) == (3, ("email", "external_id"))
    assert [(row.row, row.cells) for row in file.rows()] == [(4, ("a@x.example", "")), (7, ("b@x.example", "0007"))]


@pytest.mark.parametrize(
    ("number_format", "shown"),
    [
        ("00000000", "00001234"),
        (r"000\-00\-000", "000-01-234"),
        ('00" "000000', "00 001234"),
        ("0", "1234"),
        ("#,##0", "1,234"),
        ("000", "1234"),
        ("General", "1234"),
        ("00000000;-00000000", "00001234"),
    ],
)
def test_leading_zeros_shown_by_a_number_format_are_kept(open_bytes, number_format, shown):
    book = openpyxl.Workbook()
    book.active.append(["external_id"])
    book.active.append([1234])
    book.active["A2"].number_format = number_format
    assert cells(open_bytes(saved(book))) == [(shown,)]


def test_leading_zeros_survive_prefixed_names_and_cells_without_references(open_bytes, rewrite):
    book = openpyxl.Workbook()
    book.active.append(["external_id"])
    book.active.append([1234])
    book.active["A2"].number_format = "000000"

    def prefixed(xml: bytes) -> bytes:
        xml = xml.replace(b"xmlns=", b"xmlns:x=")
        xml = re.sub(rb"<(/?)(?=[a-zA-Z])", rb"<\1x:", xml)
        return re.sub(rb' r="[A-Z]+\d+"', b"", xml)

    assert cells(open_bytes(rewrite(saved(book), "xl/worksheets/sheet1.xml", prefixed))) == [("001234",)]


def test_an_error_cell_is_no_blank(open_bytes):
    book = openpyxl.Workbook()
    book.active.append(["email", "city"])
    book.active.append(["#N/A", "Ulm"])
    book.active["A2"].data_type = "e"
    file = open_bytes(saved(book))
    assert cells(file) == [("#N/A", "Ulm")]
    assert flaws(file) == [{0: "excel_error"}]


def test_a_formula_without_a_value_is_no_blank(open_bytes):
    file = open_bytes(workbook(["email", "city"], ["a@x.example", '="U"&"lm"'], ["=A2", "Ulm"]))
    assert flaws(file) == [{1: "formula_without_value"}, {0: "formula_without_value"}]


def test_a_formula_with_a_value_is_its_value_even_an_empty_text(open_bytes, rewrite):
    content = io.BytesIO()
    book = xlsxwriter.Workbook(content)
    sheet = book.add_worksheet()
    sheet.write_row(0, 0, ["email", "city"])
    sheet.write_formula(1, 0, '="a@"&"x.example"', None, "a@x.example")
    sheet.write_formula(1, 1, '=""', None, "")
    book.close()
    as_excel_writes_it = rewrite(
        content.getvalue(), "xl/worksheets/sheet1.xml", lambda xml: xml.replace(b'<c r="B2"', b'<c r="B2" t="str"')
    )
    file = open_bytes(as_excel_writes_it)
    assert cells(file) == [("a@x.example", "")]
    assert flaws(file) == [{}]


def test_numbers_past_fifteen_digits_are_marked(open_bytes):
    file = open_bytes(workbook(["external_id"], [12345678901234567], [123456789012345]))
    assert flaws(file) == [{0: "lost_digits"}, {}]


def test_the_first_visible_sheet_with_data_is_read_and_the_others_are_named(open_bytes):
    book = openpyxl.Workbook()
    book.active.title = "Blank"
    for name, state in (("Secret", "hidden"), ("Very", "veryHidden"), ("People", "visible"), ("More", "visible")):
        sheet = book.create_sheet(name)
        sheet.sheet_state = state
        sheet.append(["email"])
        sheet.append([f"{name}@x.example"])
    content = saved(book)
    file = open_bytes(content)
    assert cells(file) == [("People@x.example",)]
    assert any('"More"' in note for note in file.notes)
    assert any('Hidden sheets not read: "Secret", "Very"' in note for note in file.notes)
    assert cells(open_bytes(content, sheet=" more")) == [("More@x.example",)]
    assert cells(open_bytes(content, sheet="Secret")) == [("Secret@x.example",)]


def test_a_wrong_sheet_names_those_there_are(open_bytes):
    with pytest.raises(UnreadableRoster, match='no sheet "People"; the workbook has "Sheet", "More"'):
        open_bytes(workbook(["email"], More=[]), sheet="People")


def test_unlabelled_cells_next_to_the_headings_are_kept(open_bytes):
    file = open_bytes(workbook(["email"], ["a@x.example"], ["b@x.example", None, "call her"]))
    assert file.headings == ("email", "", "")
    assert cells(file) == [("a@x.example", "", ""), ("b@x.example", "", "call her")]


def test_strict_ooxml_is_read(open_bytes, rewrite):
    def strict(xml: bytes) -> bytes:
        return xml.replace(MAIN.encode(), b"http://purl.oclc.org/ooxml/spreadsheetml/main")

    content = workbook(["email"], ["a@x.example"])
    for part in ("xl/workbook.xml", "xl/worksheets/sheet1.xml"):
        content = rewrite(content, part, strict)
    assert cells(open_bytes(content)) == [("a@x.example",)]


def test_a_wrong_dimension_loses_no_row(open_bytes, rewrite):
    content = workbook(["email", "city"], ["a@x.example", "Ulm"])
    content = rewrite(
        content, "xl/worksheets/sheet1.xml", lambda xml: re.sub(rb"<dimension[^>]*>", b'<dimension ref="A1"/>', xml)
    )
    assert cells(open_bytes(content)) == [("a@x.example", "Ulm")]


def test_a_cell_far_away_is_refused_and_ends_nothing_else(open_bytes):
    book = openpyxl.Workbook()
    book.active.append(["email"])
    book.active["XFD1048576"] = "x"
    with pytest.raises(UnreadableRoster, match="cell far below"):
        open_bytes(saved(book))


def test_a_document_type_within_a_sheet_is_refused(open_bytes, rewrite):
    evil = b'<!DOCTYPE x [<!ENTITY a "aaaa">]>'
    content = rewrite(
        workbook(["email"], ["=1"]),
        "xl/worksheets/sheet1.xml",
        lambda xml: evil + xml.replace(b"<v />", b"<v>&a;</v>").replace(b"<v></v>", b"<v>&a;</v>"),
    )
    with pytest.raises(UnreadableRoster):
        open_bytes(content)


def test_the_content_and_not_the_name_decides(open_bytes):
    content = workbook(["email"], ["a@x.example"])
    for name in ("roster.xls", "roster.csv", "roster"):
        assert cells(open_bytes(content, name)) == [("a@x.example",)]
    assert cells(open_bytes(b"email\na@x.example\n", "roster.xlsx")) == [("a@x.example",)]


def test_ods_is_read_and_numbers_in_it_are_as_displayed(open_bytes):
    namespaces = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text")
    )
    content = f"""<?xml version="1.0"?><office:document-content {namespaces}><office:body><office:spreadsheet>
      <table:table table:name="One">
      <table:table-row><table:table-cell office:value-type="string"><text:p>external_id
      </text:p></table:table-cell></table:table-row><table:table-row><table:table-cell office:value-type="float"
      office:value="58"><text:p>0058</text:p></table:table-cell></table:table-row></table:table></office:spreadsheet>
      </office:body></office:document-content>"""
    manifest = (
        '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">'
        '<manifest:file-entry manifest:full-path="/" manifest:media-type="x"/></manifest:manifest>'
    )
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as parts:
        parts.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        parts.writestr("content.xml", content)
        parts.writestr("META-INF/manifest.xml", manifest)
    file = open_bytes(archive.getvalue())
    assert cells(file) == [("0058",)]


def zeros(*numbers):
    """A workbook of ids shown with eight digits."""
    book = openpyxl.Workbook()
    book.active.append(["external_id"])
    for number in numbers:
        book.active.append([number])
    for (cell,) in book.active.iter_rows(min_row=2):
        cell.number_format = "00000000"
    return saved(book)


def test_a_wrong_dimension_loses_no_leading_zeros(open_bytes, rewrite):
    content = rewrite(
        zeros(1, 2),
        "xl/worksheets/sheet1.xml",
        lambda xml: re.sub(rb"<dimension[^>]*>", b'<dimension ref="A1"/>', xml),
    )
    assert cells(open_bytes(content)) == [("00000001",), ("00000002",)]


def test_rows_that_openpyxl_would_lose_are_refused(open_bytes, rewrite):
    def turned(xml: bytes) -> bytes:
        first, second = re.findall(rb'<row r="[23]".*?</row>', xml)
        return xml.replace(first + second, second + first)

    with pytest.raises(UnreadableRoster, match="cannot be read with certainty"):
        open_bytes(rewrite(zeros(1, 2), "xl/worksheets/sheet1.xml", turned))


def test_workbooks_that_openpyxl_cannot_read_are_refused_only_when_it_matters(open_bytes, rewrite):
    def no_fill(xml: bytes) -> bytes:
        return re.sub(rb"<fill>.*?</fill>", b"<fill/>", xml)

    plain = rewrite(workbook(["email"], ["a@x.example"]), "xl/styles.xml", no_fill)
    assert cells(open_bytes(plain)) == [("a@x.example",)]
    with pytest.raises(UnreadableRoster, match="save it as an ordinary Excel workbook"):
        open_bytes(rewrite(zeros(1), "xl/styles.xml", no_fill))


def test_strict_ooxml_with_leading_zeros_is_refused(open_bytes, rewrite):
    def strict(xml: bytes) -> bytes:
        xml = xml.replace(MAIN.encode(), b"http://purl.oclc.org/ooxml/spreadsheetml/main")
        return xml.replace(OFFICE.encode(), b"http://purl.oclc.org/ooxml/officeDocument/relationships")

    content = zeros(1)
    for part in ("xl/workbook.xml", "xl/_rels/workbook.xml.rels", "xl/styles.xml", "xl/worksheets/sheet1.xml"):
        content = rewrite(content, part, strict)
    with pytest.raises(UnreadableRoster, match="save it as an ordinary Excel workbook"):
        open_bytes(content)


def test_a_last_row_of_nothing_but_formulas_without_value_is_not_lost(open_bytes):
    file = open_bytes(workbook(["email", "city"], ["a@x.example", "Ulm"], ["=A2", "=B2"]))
    assert [record.raw.row for record in file.records()] == [2, 3]
    assert flaws(file) == [{}, {0: "formula_without_value", 1: "formula_without_value"}]


def test_leading_zeros_errors_and_formulas_are_distinguished_in_one_row(open_bytes, rewrite):
    book = openpyxl.Workbook()
    book.active.append([None, "external_id", "city", "email", "score"])
    book.active.append([])
    book.active.append([None, 7, '=""', "=C3", "#REF!"])
    book.active["B3"].number_format = "0000"
    book.active["E3"].data_type = "e"
    content = rewrite(
        saved(book),
        "xl/worksheets/sheet1.xml",
        lambda xml: re.sub(rb'<c r="C3"[^>]*>(<f>.*?</f>)<v ?(?:/>|></v>)', rb'<c r="C3" t="str">\1<v></v>', xml),
    )
    file = open_bytes(content)
    assert cells(file) == [("0007", "", "", "#REF!")]
    assert flaws(file) == [{2: "formula_without_value", 3: "excel_error"}]


def test_an_entity_within_a_number_is_refused(open_bytes, rewrite):
    content = rewrite(
        workbook(["external_id"], [12]),
        "xl/worksheets/sheet1.xml",
        lambda xml: b'<!DOCTYPE x [<!ENTITY a "9">]>' + xml.replace(b"<v>12</v>", b"<v>1&a;2</v>"),
    )
    with pytest.raises(UnreadableRoster):
        open_bytes(content)
