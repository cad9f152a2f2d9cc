"""Number formats as ECMA-376 Part 1, 18.8.31 describes them: what a spreadsheet shows of a number."""

import pytest

from worker.intake.excel.number_format import (
    BUILTIN_FORMATS,
    changes_numbers,
    changes_texts,
    display_number,
    display_text,
    is_date_format,
)


@pytest.mark.parametrize(
    ("number_format", "number", "shown"),
    [
        ("General", 123456789012345, "123456789012345"),
        ("General", 0.1 + 0.2, "0.3"),
        ('General"x"', 5, "5x"),
        ("@", 12, "12"),
        ("00000", 12, "00012"),
        ("00000", 1234567, "1234567"),
        ("#####", 12, "12"),
        ("?????", 12, "   12"),
        ("#", 0, ""),
        ("[$-409]00000", 1234, "01234"),
        ("[Blue]00000", 12, "00012"),
        ("[Color 10]00000", 12, "00012"),
        ("000,000", 12, "000,012"),
        ("#,##0", 1234567, "1,234,567"),
        ("0,0", 1234567, "1,234,567"),
        ('"STU-"0', 7, "STU-7"),
        ('"STU-"0000', 7, "STU-0007"),
        (r"\S0000", 7, "S0007"),
        ("####-####", 12345678, "1234-5678"),
        ("####-####", 123, "-123"),
        (r"000\-00\-0000", 12345678, "012-34-5678"),
        ("00-00", 12345, "123-45"),
        ("(000) 000-0000", 2065551234, "(206) 555-1234"),
        (r"0\ 000\ 000", 1234567, "1 234 567"),
        ("[<=99999]00000;00000-0000", 1234, "01234"),
        ("[<=99999]00000;00000-0000", 123456789, "12345-6789"),
        ("[<=9999999]###-####;(###) ###-####", 5551234, "555-1234"),
        ("[<=9999999]###-####;(###) ###-####", 2065551234, "(206) 555-1234"),
        ('[=1]"one";[=2]"two";0', 2, "two"),
        ('[=1]"one";[=2]"two";0', 3, "3"),
        ("00000;-00000;00000;@", 12, "00012"),
        ("00-00", -5, "-00-05"),
        ('"A"0;"B"0', -5, "B5"),
        ('0;-0;"-"', 0, "-"),
        ("0;-0;;@", 0, ""),
        ("00000 ", 3, "00003 "),
        ("0_)", 7, "7 "),
        ("* 00000", 12, "00012"),
        ("[$EUR] 0", 5, "EUR 5"),
        ("[$€-407] 0", 5, "€ 5"),
        ("0.00", 12, "12.00"),
        ("0.0#", 12.5, "12.5"),
        ("#.##", 12, "12."),
        ("0%", 0.85, "85%"),
        ("0.0%", 0.855, "85.5%"),
        ("0.00E+00", 12345678, "12345678"),
        ('_-* #,##0.00_-;-* #,##0.00_-;_-* "-"??_-;_-@_-', 1234, " 1,234.00 "),
    ],
)  # fmt: skip
def test_a_number_is_displayed_as_its_format_shows_it(number_format, number, shown):
    assert display_number(number, number_format) == shown


@pytest.mark.parametrize(
    ("number_format", "number"),
    [
        ("# ?/?", 0.5),
        ("0/100", 0.5),
        ("[DBNum1]0", 12),
        ("[h]:mm", 1.5),
        ("[$-F800]dddd, mmmm dd, yyyy", 12345),
        ("yyyy", 12345),
        ("Q0", 12),
        ("0.0.0", 12),
        # These hide digits of the number.
        ("0,", 12345),
        ("00", 12.6),
        ("0.0", 12.34),
        ('"member"', 12),
        (";;;", 12),
        ("[>100]0;[<50]00", 75),
        ("[<100]0;00000", -5),
    ],
)
def test_a_format_that_is_not_known_or_hides_digits_displays_nothing(number_format, number):
    assert display_number(number, number_format) is None


@pytest.mark.parametrize(
    ("number_format", "shown"),
    [
        ('"STU-"@', "STU-7a"),
        ('0;0;0;"X-"@', "X-7a"),
        ('@" kg"', "7a kg"),
        (r"\A@", "A7a"),
        ("[Red]@", "7a"),
        ("@@", "7a7a"),
        ("0;-0;;@", "7a"),
        ('"STU-"0', "7a"),
        ("yyyy-mm-dd;@", "7a"),
        (";;;", None),
        ("0;0;0;", None),
        ('General;General;General;"no"', None),
    ],
)
def test_a_text_is_displayed_as_the_section_for_texts_shows_it(number_format, shown):
    assert display_text("7a", number_format) == shown


@pytest.mark.parametrize("number_format", ["General", "@", "0", "00000", "_-@_-", BUILTIN_FORMATS[41], "d/m/yy;@"])
def test_common_formats_do_not_change_texts(number_format):
    assert not changes_texts(number_format)


@pytest.mark.parametrize(
    "number_format", ["General", "0", "@", "0.00", "0_)", "[Red]0", "0;-0", "0.00E+00", "m/d/yy"]
)
def test_common_formats_of_whole_numbers_and_dates_cost_no_second_reading(number_format):
    assert not changes_numbers(number_format)


def test_formats_of_dates_are_distinguished_from_letters_in_texts_and_colours():
    dates = ["yyyy-mm-dd", "[$-409]d mmm;@", "[h]:mm", "h:mm AM/PM", '"on "d.m.y']
    numbers = ['"day "0', r"\d0", "[Red]0", "Standard", "0.00E+00", "_d0", "[$USD-409]0"]
    assert [is_date_format(code) for code in dates + numbers] == [True] * len(dates) + [False] * len(numbers)
