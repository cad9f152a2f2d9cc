"""Text of strangers takes time that grows with its length and no faster, whatever is in it.

Each function that sees text from a file, a form, a file name or an answer of an LMS is driven with n and 2n hostile
characters: the processor time is less than three times as much. A quadratic one takes four times as much.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from worker.errors import Refused, RosterError
from worker.folders import names
from worker.intake import dates, headers, problems, text, values
from worker.intake.answer_file import read_answer_file
from worker.intake.columns import COLUMNS
from worker.intake.csv_files import codec_names, detectors, quoting, reader
from worker.intake.excel import number_format, scan
from worker.intake.file_type import detect_file_type
from worker.intake.options import parse_start_time
from worker.intake.roster_file import open_roster
from worker.jobs import resolve
from worker.lms import responses
from worker.pace.hints.response import read_hints
from worker.registration import breaker
from worker.reports import csv_report, kinds, wording
from worker.web import uploads

LENGTH = 3_000
#: What takes less than this for twice the length is not compared: at a nanosecond for each pair of characters,
#: quadratic time is six times as long (seconds).
MEASURABLE = 0.01
TIMES = 5
#: Twice as much is linear and four times as much is quadratic; what is nearer to twice is not measured again.
CLEARLY_LINEAR = 2.5

#: Repeated to the length that is asked for.
# fmt: off
REPEATED = (
    ".", ":", ";", ",", "|", "_", "-", "*", "'", "(", ")", "<", ">", "/", "\\", "#", "&", "%", "!", "?", "0",
    "9", "a", "Z", "\xe9", "\xdf", "\u0130", "\ufdfa", "\uff46", "\uff11", "\uff21", " ", "\t", "\n", "\r\n",
    "\x00", "\xa0", "\xad", "\u200b", "\u200d", "\ufeff", "\u202e", "\ufffd", '"', "\u201c", "\u201d",
    "\u0301\u0327", "\u0315\u0327", "\u0f73\u0327", "e\u0301", "\uff9e\u0327", "\uac00", "\u1100\u1161", "a.",
    "a@", "a@b.", "xn--", "1.", "1,", "1e", "0x", "+4", "=1", "'=", ";=", "; =", "|\t", "\t ", "x;", ";'", "'",
    '""', '"a', '",', '"\n', '\\"', "<title>", "<title ", "</title>", '--map "', "`roster resolve ", "--set a ",
    ": the headings are ", "email, ", "email or ", "candidateIds[", "candidateIds[1", "candidate ",
    "retry after ", "retry in 1", "limit =", ";a=", "5/", "1 jan", "1 a ", "a-", "2020-", "T ", "field:",
    "user_id", "E-Mail ", "_x", "<c>", '<c t="str"', "<f>", "/> ", "f> <", 'formatCode="', "formatCode='",
    "formatCode ", 't="e"', "t ", "&#1;", "\\0", '"0"', "0 ", "[$", "#,", "0.0", "%2e", "%", "../", "con.",
    ".part", "~$", "sep=", "=HYPERLINK(", "\u017f",
)
# fmt: on
#: What comes before and after what is repeated.
ENDS = (("", ""), ("a@'1", "!"))


def hostile_texts(length: int) -> list[str]:
    return [
        f"{before}{(part * (length // len(part) + 1))[:length]}{after}"
        for part in REPEATED
        for before, after in ENDS
    ]


def _check_values(cell: str) -> None:
    values.check_values(dict.fromkeys(values.RowValues.model_fields, cell), values.ParseContext())


def _match_headings(heading: str) -> None:
    headers.match_headings(["email", heading])


def _map_heading(heading: str) -> None:
    headers.match_headings(["email", heading], mapping={heading: "first_name"})


def _map_to(column: str) -> None:
    headers.match_headings(["email", "x"], mapping={"x": column})


def _response(body: str) -> None:
    response = responses.parse(400, {"location": body}, body.encode(errors="replace"))
    responses.error_message(response)
    read_hints(429, {"retry-after": body, "ratelimit": body, "ratelimit-policy": body}, body, now=0.0)
    for status in (200, 302, 400, 401, 503):
        with suppress(RosterError):
            responses.check_response(
                responses.parse(status, {}, body.encode(errors="replace")),
                read_hints(status, {}, body, now=0.0),
                changes=True,
            )


def _refusal(message: str) -> None:
    refused = Refused("refused", 400, message, message)
    breaker.refusal_signature(refused)
    breaker.is_about_course(refused, ["17", "18"], all_created=True)


def _scan(part: str) -> None:
    scan._has_missing_value(part.encode(errors="replace"))
    scan._changing_styles(part.encode(errors="replace"))
    scan._attributes(part.encode(errors="replace"))


FUNCTIONS: dict[str, Callable[[str], object]] = {
    "escape_formula": text.escape_formula,
    "unescape_formula": text.unescape_formula,
    "clean": text.clean,
    "is_blank": text.is_blank,
    "normalize": text.normalize,
    "normalize to compare": lambda cell: text.normalize(cell, "NFKD"),
    "quote": problems.quote,
    "excel_error_code": problems.excel_error_code,
    "normalize_heading": headers.normalize_heading,
    "count_known": lambda heading: headers.count_known([heading]),
    "identifies": lambda heading: headers.identifies(headers.column_of_heading(heading)),
    "column_of_heading": headers.column_of_heading,
    "check_column": lambda column: headers.check_column(column, option="--set"),
    "match_headings": _match_headings,
    "match_headings with a map": _map_heading,
    "match_headings with a map to": _map_to,
    "missing_person_column": lambda heading: headers.missing_person_column([heading]),
    "parse_date": dates.parse_date,
    "date_order_of": dates.date_order_of,
    "check_values": _check_values,
    "check_fields": lambda cell: list(values.check_fields({"x": cell})),
    "codec_name": codec_names.codec_name,
    "declared_delimiter": reader.declared_delimiter,
    "find_delimiter": lambda lines: reader.find_delimiter([lines, lines]),
    "are_wrapped": lambda line: quoting.are_wrapped([line, line]),
    "have_outer_blanks": lambda content: quoting.have_outer_blanks(io.StringIO(content), ","),
    "blanks around quotation marks": lambda line: list(quoting.QuoteStyle(has_blanks=True).apply([line], ",")),
    "lines in quotation marks": lambda line: list(quoting.QuoteStyle(is_wrapped=True).apply([line], ",")),
    "an address": quoting._ADDRESS.fullmatch,
    "detectors": lambda field: detectors._decode(field.encode(errors="replace"), "cp1252"),
    "number format": lambda code: number_format.display_number(1234.5, code),
    "parts of a workbook": _scan,
    "parse_start_time": parse_start_time,
    "an answer on a row in doubt": resolve._parse,
    "display_name": uploads.display_name,
    "report_name": kinds.report_name,
    "is_report": kinds.is_report,
    "is_roster": names.is_roster,
    "free_name": lambda name: names.free_name(name, [name]),
    "for_page": wording.for_page,
    "for_api": wording.for_api,
    "an answer of an LMS": _response,
    "a refusal of an LMS": _refusal,
}


def seconds_of(function: Callable[[str], object], argument: str) -> float:
    begun = time.process_time()
    with suppress(RosterError, ValueError, resolve._WrongCell):
        function(argument)
    return time.process_time() - begun


def assert_linear(function: Callable[[str], object], shorter: str, longer: str) -> None:
    long_once = seconds_of(function, longer)
    if long_once < MEASURABLE or long_once < CLEARLY_LINEAR * seconds_of(function, shorter):
        return
    # The fastest of several: another process may have had the processor's caches meanwhile.
    for _ in range(TIMES):
        short, long = ([seconds_of(function, each) for _ in range(TIMES)] for each in (shorter, longer))
        if min(long) < 3 * max(min(short), MEASURABLE / 2):
            return
    pytest.fail(f"{longer[:40]!r}: {min(short):.4f} and {min(long):.4f} seconds")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_twice_the_characters_take_less_than_three_times_as_long(name):
    for shorter, longer in zip(hostile_texts(LENGTH), hostile_texts(2 * LENGTH), strict=True):
        assert_linear(FUNCTIONS[name], shorter, longer)


def _open(path: Path) -> None:
    for _ in open_roster(path, name="roster.csv").records():
        pass


def _open_in(encoding: str) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        for _ in open_roster(path, name="roster.csv", encoding=encoding).records():
            pass

    return read


FILE_FUNCTIONS: dict[str, Callable[[Path], object]] = {
    "open_roster": _open,
    "open_roster in a given encoding": _open_in("cp932"),
    "read_answer_file": lambda path: list(read_answer_file(path)),
    "is_own_report": csv_report.is_own_report,
    "detect_file_type": lambda path: detect_file_type(path, name="roster.csv"),
}


@pytest.mark.parametrize("name", FILE_FUNCTIONS)
@pytest.mark.parametrize("before", ["", "email,x\n"])
def test_twice_the_file_takes_less_than_three_times_as_long(name, before, tmp_path):
    function = FILE_FUNCTIONS[name]
    for number, part in enumerate(REPEATED):
        paths = [tmp_path / f"{number}-{times}" for times in (1, 2)]
        for times, path in enumerate(paths, start=1):
            path.write_text(before + (part * LENGTH)[: times * LENGTH], "utf-8", errors="replace", newline="")
        assert_linear(lambda path: function(Path(path)), *map(str, paths))


@pytest.mark.parametrize(
    ("first", "repeated"),
    [
        ("a@b.cc,1\n", '"\na@'),
        ("a@b.cc,", "\n"),
        ('"a@b.cc,1', '\n"'),
        ("a@b.cc," * 200, "x\n"),
        ('a,"x\n', "a@.,"),
    ],
)
def test_cells_of_several_lines_are_checked_in_linear_time(first, repeated, tmp_path):
    texts = [f'email,b\n"{first}{repeated * (LENGTH * times)}\x0b"\n' for times in (1, 2)]
    paths = [tmp_path / name for name in ("shorter", "longer")]
    for path, content in zip(paths, texts, strict=True):
        path.write_text(content, "utf-8", newline="")
    assert_linear(lambda path: _open(Path(path)), *map(str, paths))


@pytest.mark.parametrize("encoding", sorted(codec_names.ENCODINGS))
def test_each_encoding_is_decoded_in_linear_time(encoding):
    for part in (b"a", b"\xff", b"\x1b$B", b"\x81", b"~{", b"+AG", b"-", b"\\u00", b"\0", "é".encode()):
        assert_linear(
            lambda content: io.TextIOWrapper(
                io.BytesIO(content.encode("latin-1")), encoding=encoding, errors="replace"
            ).read(),
            (part * LENGTH).decode("latin-1")[:LENGTH],
            (part * LENGTH).decode("latin-1")[: 2 * LENGTH],
        )


def test_cell_styles_without_an_end_are_searched_once():
    def search(count: str) -> None:
        scan._changing_styles(b"<cellXfs " * int(count))

    assert_linear(search, "10000", "20000")


def test_many_headings_that_match_nothing_take_little_time():
    def match(count: str) -> None:
        headers.match_headings(["email", *(f"emial adress {number}" for number in range(int(count)))])

    assert_linear(match, "4000", "8000")


def test_many_maps_of_many_headings_take_little_time():
    def match(count: str) -> None:
        headings = [f"h{number}" for number in range(int(count))]
        headers.match_headings(["email", *headings], mapping={name: f"field:{name}" for name in headings[:500]})

    assert_linear(match, "4000", "8000")


def test_each_column_of_a_roster_is_driven():
    assert set(COLUMNS) <= set(values.RowValues.model_fields)
