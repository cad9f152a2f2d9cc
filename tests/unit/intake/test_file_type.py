import contextlib
import io
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.errors import NothingSent, UnreadableRoster
from worker.intake.headers import match_headings
from worker.intake.rows import parse_rows
from worker.model import RowRules


def archive(**parts: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for name, body in parts.items():
            file.writestr(name.replace("__", "/").replace("_xml", ".xml"), body)
    return content.getvalue()


OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"\n\n , \n", "no rows"),
        (b"<html><table><tr><td>email</td></tr></table></html>", "web page"),
        ("\ufeff<HTML>".encode("utf-16"), "web page"),
        (b'<?xml version="1.0"?><Workbook/>', "XML Spreadsheet 2003"),
        (b"%PDF-1.7", "PDF"),
        (b"\x1f\x8b\x08rest", "archive"),
        (OLE + b"\0" * 600, "damaged"),
        (OLE + b"\0" * 600 + "EncryptedPackage".encode("utf-16-le"), "password"),
        (b"PK\x03\x04 truncated", "damaged"),
        (archive(readme=b"x"), "archive without a workbook"),
        (archive(word__document_xml=b"<x/>"), "text document"),
        (archive(xl__workbook_xml=b"<workbook/>"), "workbook"),
        (archive(xl__workbook_xml=b"<w/>", xl__worksheets__sheet1_xml=b" " * 20_000_000), "unpacks to far more"),
        (bytes(range(256)) * 4, "neither a supported spreadsheet"),
    ],
)
def test_what_is_no_roster_is_refused_in_plain_words(open_bytes, content, said):
    with pytest.raises(UnreadableRoster, match=said) as refused:
        open_bytes(content, "people.xls")
    assert str(refused.value).startswith("people.xls")


def read_all(open_bytes, content: bytes, name: str) -> None:
    with contextlib.suppress(NothingSent):
        file = open_bytes(content, name)
        list(parse_rows(file, match_headings(file.headings), rules=RowRules()))


soup = st.binary(max_size=200) | st.builds(
    lambda head, rest: head + rest,
    st.sampled_from(
        [b"email,dob\n", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b'email\n"', b"sep=;\n", b"PK\x03\x04"]
    ),
    st.binary(max_size=200),
)


@settings(max_examples=150, deadline=None)
@given(soup, st.sampled_from(["r.csv", "r.tsv", "r.txt", "r.xlsx", "r.xls", "r.ods", "r.xlsb", "r"]))
def test_any_bytes_are_read_or_refused_in_plain_words(open_bytes, content, name):
    read_all(open_bytes, content, name)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 5000), st.binary(min_size=1, max_size=8), st.booleans())
def test_a_damaged_workbook_is_read_or_refused_in_plain_words(open_bytes, position, noise, within):
    if within:
        sheet = b'<worksheet><sheetData><row r="1"><c r="A1" t="e"><v>1</v></c></row></sheetData></worksheet>'
        at = position % len(sheet)
        content = archive(
            xl__workbook_xml=b'<workbook><sheets><sheet name="a" r:id="1" sheetId="1"/></sheets></workbook>',
            xl__worksheets__sheet1_xml=sheet[:at] + noise + sheet[at:],
        )
    else:
        content = OLE + noise * (position + 1)
    read_all(open_bytes, content, "r.xlsx")
