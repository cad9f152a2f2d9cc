import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.errors import UncertainEncoding, UnreadableRoster, UsageError
from worker.intake.csv_files.codec_names import ENCODINGS
from worker.intake.limits import MAX_COLUMNS, MAX_FIELD_CHARACTERS
from worker.web.pages.drafts import ENCODINGS as PAGE_ENCODINGS

HEAD = ["email", "first_name", "last_name"]


def rows(file):
    return [(row.row, row.cells) for row in file.rows()]


def test_rows_bear_the_numbers_that_a_spreadsheet_shows(open_bytes):
    file = open_bytes(b'\r\nemail,first_name\r\n\r\na@x.example,"Ann\r\nMarie"\r\n , \r\nb@x.example,Bo\r\n\r\n')
    assert file.heading_row == 2
    assert rows(file) == [(4, ("a@x.example", "Ann\r\nMarie")), (6, ("b@x.example", "Bo"))]


def test_rows_can_be_gone_over_twice_and_side_by_side(open_bytes):
    file = open_bytes(b"email\na@x.example\nb@x.example\n")
    first, second = file.rows(), file.rows()
    assert next(first) == next(second)
    assert rows(file) == rows(file)


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
def test_every_line_end_is_read(open_bytes, end):
    file = open_bytes(end.join([b"email,first_name", b"a@x.example,Ann", b"b@x.example,Bo", b""]))
    assert [number for number, _ in rows(file)] == [2, 3]


def test_a_sep_line_tells_the_delimiter_and_is_no_row(open_bytes):
    file = open_bytes(b"\xef\xbb\xbfsep=;\r\nemail;first_name\r\na@x.example;Ann, Marie\r\n")
    assert rows(file) == [(2, ("a@x.example", "Ann, Marie"))]


def test_ctrl_z_at_the_end_is_no_row(open_bytes):
    assert rows(open_bytes(b"email,city\na@x.example,Ulm\n\x1a")) == [(2, ("a@x.example", "Ulm"))]
    assert rows(open_bytes(b"email,city\na@x.example,Ulm\x1a")) == [(2, ("a@x.example", "Ulm"))]


def test_a_nul_is_refused_with_its_row(open_bytes):
    with pytest.raises(UnreadableRoster, match="row 3: a cell contains a NUL"):
        rows(open_bytes(b"email,city\na@x.example,Ulm\nb@x.example,U\x00m\n"))


def test_an_unbalanced_quote_is_refused_with_the_line_it_began_in(open_bytes):
    with pytest.raises(UnreadableRoster, match=r"row 3 \(it begins in line 4\): a quotation mark opens"):
        rows(open_bytes(b'email,city\n"a\nb",Ulm\n"b@x.example,Ulm\nc@x.example,Ulm\n'))


def test_two_lone_quotes_do_not_swallow_the_rows_between(open_bytes):
    with pytest.raises(UnreadableRoster, match="whole rows"):
        rows(open_bytes(b'email,city,zip\na@x.example,"Ulm,1\nb@x.example,Ulm,2\nc@x.example,Ulm",3\n'))


def test_short_rows_are_padded_and_blank_surplus_is_cut(open_bytes):
    file = open_bytes(b"email,city,,\na@x.example\nb@x.example,Ulm,,\nc@x.example,Ulm,x\n")
    assert [cells for _, cells in rows(file)] == [
        ("a@x.example", ""),
        ("b@x.example", "Ulm"),
        ("c@x.example", "Ulm", "x"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        'email,note,city\na@x.example,"Likes mornings\nnuts, milk, eggs",Ulm\nb@x.example,,Ulm\n',
        'email,city,address\na@x.example,Ulm,"Care of Mr. X, Mrs. Y\nFlat 3, B, Leeds, UK"\nb@x.example,Ulm,x\n',
        'email,note\na@x.example,"Hello\nDear all, bye"\nb@x.example,"ask:\nboss@x.example"\n',
        'id;note\nA-1;"one; two\nthree; four; five"\nA-2;\n',
    ],
)
def test_a_quoted_cell_of_several_lines_may_contain_delimiters(open_bytes, text):
    read = rows(open_bytes(text.encode()))
    delimiter = ";" if text.startswith("id") else ","
    assert [cells for _, cells in read] == [
        tuple(row) for row in csv.reader(io.StringIO(text), delimiter=delimiter)
    ][1:]


@pytest.mark.parametrize(
    "text",
    [
        'email,city\na@x.example,"Ulm\nb@x.example,Ulm"\n',
        'email,city,zip\na@x.example,"Ulm,1\nb@x.example,Ulm",2\n',
        'name,email\n"Ann,a@x.example\nBo",b@x.example\n',
        'id,name,city\nA-1,Ann,"Ulm\nA-2,Bo,Ulm"\n',
        'email,city,zip\na@x.example,"Ulm,1\nb@x.example,Ulm\nc@x.example,Ulm",3\n',
        'id,a,b,c\n1,"x\nq,w,e,r,t",3,4\n2,3\n',
    ],
)
def test_a_quote_without_a_partner_is_refused_with_what_to_do(open_bytes, text):
    with pytest.raises(
        UnreadableRoster, match=r"row 2 \(it begins in line 2\).*Remove the quotation mark, double it"
    ):
        rows(open_bytes(text.encode()))


@pytest.mark.parametrize("delimiter", [",", ";", "|"])
def test_blanks_around_quotation_marks_are_skipped_and_all_others_kept(open_bytes, delimiter):
    lines = [
        "email¦ first_name ¦city",
        'a@x.example¦ "Ann¦ Dr"¦  Ulm ',
        'b@x.example¦"say "" ¦ "" x\n¦ y"  ¦ "Ulm" ',
    ]
    read = rows(open_bytes("\n".join(lines).replace("¦", delimiter).encode()))
    assert [cells for _, cells in read] == [
        ("a@x.example", f"Ann{delimiter} Dr", "  Ulm "),
        ("b@x.example", f'say " {delimiter} " x\n{delimiter} y', "Ulm"),
    ]


@pytest.mark.parametrize(
    "lines",
    [
        ['"email,first_name,city"', '"a@x.example,Ann,Ulm"', '"b@x.example,""Bo, Jr"",Ulm"'],
        ["email,first_name,city", '"a@x.example,Ann,Ulm"', '"b@x.example,""Bo, Jr"",Ulm"'],
    ],
)
def test_quotation_marks_around_whole_lines_are_ignored_and_noted(open_bytes, lines):
    file = open_bytes("\r\n".join(lines).encode())
    assert rows(file) == [(2, ("a@x.example", "Ann", "Ulm")), (3, ("b@x.example", "Bo, Jr", "Ulm"))]
    assert "Whole lines are in quotation marks, which were ignored." in file.notes


def test_a_column_of_quoted_cells_is_not_a_file_of_quoted_lines(open_bytes):
    file = open_bytes(b'"email"\n"a@x.example"\n"b, c@x.example"\n')
    assert rows(file) == [(2, ("a@x.example",)), (3, ("b, c@x.example",))]


def test_headings_below_a_title_are_found_and_said(open_bytes):
    file = open_bytes(b"Autumn intake,,\n,,\nEmail,Forename,Surname\na@x.example,Ann,Lee\n")
    assert (file.heading_row, file.headings[0]) == (3, "Email")
    assert "The headings are in row 3; the rows above them were not read." in file.notes


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_delimiter_and_unicode_encoding_are_found_out(open_bytes, delimiter, encoding):
    lines = [HEAD, ["a@x.example", "Zoë", "Łącka; née Smith, Ms|Mrs"]]
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(lines)
    assert rows(open_bytes(text.getvalue().encode(encoding))) == [(2, tuple(lines[1]))]


@pytest.mark.parametrize(
    ("encoding", "names"),
    [
        ("cp1252", "José Müller Muñoz Begoña Peña Núñez Sánchez García Ibáñez Yáñez"),
        ("cp1252", "Jürgen Weiß Schröder Böhm Käthe Krüger Grünwald Röhm Schäfer Götz"),
        ("cp1250", "Łukasz Wiśniewski Wójcik Żak Śliwa Dąbrowski Grażyna Zieliński Małgorzata Jędrzej"),
        ("cp1251", "Дмитрий Орлов Наталья Кузнецова Сергей Иванов Ольга Смирнова Юрий Щукин"),
    ],
)
def test_a_code_page_is_found_out_and_noted(open_bytes, encoding, names):
    people = [(f"p{at}@x.example", name, "Lee") for at, name in enumerate(names.split() * 20)]
    text = "\r\n".join(";".join(row) for row in (HEAD, *people))
    file = open_bytes(text.encode(encoding))
    assert [cells for _, cells in rows(file)] == people
    assert f"windows-{encoding[2:]}" in file.notes[0]


def test_a_western_name_is_never_read_as_central_european_in_silence(open_bytes):
    names = ["Hélène", "Genève", "Müller", "Muñoz", "Søren", "Åberg", "Benoît", "João"] * 30
    text = "\n".join(["email,first_name", *(f"p{at}@x.example,{name}" for at, name in enumerate(names))])
    with pytest.raises(UncertainEncoding, match=r"windows-1252.*--encoding NAME") as asked:
        open_bytes(text.encode("cp1252"))
    assert asked.value.readings["windows-1252"].startswith("Hélène")


def test_an_uncertain_encoding_is_asked_for_with_names_in_each(open_bytes):
    content = "email,first_name\na@x.example,Zoë\n".encode("mac-roman")
    with pytest.raises(UncertainEncoding, match=r"macroman.*--encoding NAME") as asked:
        open_bytes(content)
    assert asked.value.readings["macroman"].startswith("Zoë")
    assert "Zo" not in str(asked.value), "the message is kept and sent"
    assert rows(open_bytes(content, encoding="mac-roman")) == [(2, ("a@x.example", "Zoë"))]


@pytest.mark.parametrize(
    "encoding",
    [
        "klingon",
        "rot13",
        "hex",
        "base64",
        "undefined",
        "punycode",
        "idna",
        "unicode_escape",
        "raw_unicode_escape",
        "utf-7",
        "hz",
        "charmap",
    ],
)
def test_an_unknown_encoding_is_a_usage_error(open_bytes, encoding):
    with pytest.raises(UsageError, match=r"is not an encoding of rosters.*cp1252.*; all are ascii, ") as refused:
        open_bytes(b"email\na@x.example\n", encoding=encoding)
    assert len(str(refused.value)) < 1_200


@pytest.mark.parametrize("encoding", ["latin1", "Windows-1252", "UTF8", "MacRoman", "Shift-JIS", "GB18030"])
def test_an_encoding_may_have_any_of_its_names(open_bytes, encoding):
    assert rows(open_bytes(b"email\na@x.example\n", encoding=encoding)) == [(2, ("a@x.example",))]


def test_the_page_offers_encodings_that_are_taken():
    assert {codec for codec, _ in PAGE_ENCODINGS} <= ENCODINGS


def test_more_columns_than_a_spreadsheet_has_are_refused(open_bytes):
    assert len(open_bytes(b"email" + b",x" * (MAX_COLUMNS - 1) + b"\n").headings) == MAX_COLUMNS
    with pytest.raises(UnreadableRoster, match=r"row 1: 16385 cells; a roster has at most 16384 columns"):
        open_bytes(b"email" + b",x" * MAX_COLUMNS + b"\n")


@pytest.mark.parametrize("opening", ["", '"'])
def test_a_cell_longer_than_a_text_file_may_have_is_refused_in_words(open_bytes, opening):
    closing = opening
    longest = "x" * MAX_FIELD_CHARACTERS
    assert rows(open_bytes(f"email,b\na,{opening}{longest}{closing}\n".encode())) == [(2, ("a", longest))]
    with pytest.raises(UnreadableRoster, match=r"row 2 .*a cell has more than 131072 characters"):
        rows(open_bytes(f"email,b\na,{opening}{longest}x{closing}\n".encode()))


def test_an_encoding_that_does_not_fit_is_refused(open_bytes):
    with pytest.raises(UnreadableRoster, match="cannot be read as utf-8"):
        open_bytes("email\né@x.example\n".encode("cp1252"), encoding="utf8")


def test_a_sheet_makes_no_sense_for_text_and_is_noted(open_bytes):
    assert "--sheet was not used: a text file has no sheets." in open_bytes(b"email\na@b\n", sheet="X").notes


cells = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\x1a\ufeff", exclude_categories=["Cc", "Cs"]), max_size=12
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(cells, cells, st.sampled_from(["a@x.example", 'say "x"', "a\nb"])), min_size=1, max_size=6),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from(["\r\n", "\n", "\r"]),
)
def test_what_the_csv_module_writes_is_read_back_equal(open_bytes, people, delimiter, encoding, end):
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([HEAD, *people])
    assert [cells for _, cells in rows(open_bytes(text.getvalue().encode(encoding)))] == people
