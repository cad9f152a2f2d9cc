import contextlib
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.intake.dates import DateOrder, InvalidDate, column_date_order, date_order_of, parse_date

days = st.dates(date(1900, 1, 1), date(2199, 12, 31))


@pytest.mark.parametrize(
    "text",
    [
        "2024-02-29",
        "2024-2-29",
        "2024/02/29",
        "20240229",
        "29.02.2024",
        "29.2.2024",
        "29/02/2024",
        "02/29/2024",
        "29-02-2024",
        "29 Feb 2024",
        "29th February 2024",
        "February 29, 2024",
        "29-Feb-2024",
        "2024-02-29 00:00:00",
        "2024-02-29T13:30:00Z",
        "29/02/2024 00:00",
        "45351",
    ],
)
def test_a_leap_day_is_read_however_it_is_written(text):
    assert parse_date(text).value == date(2024, 2, 29)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "0",
        "8640",
        "45000000",
        "1900-01-00",
        "00/01/1900",
        "31/02/2024",
        "29/02/2023",
        "13/13/2024",
        "03/04/25",
        "3 Apr 25",
        "1899-12-31",
        "03/04.2025",
        "2024-02-29garbage",
        "1 Foo 2024",
        "٠٣/٠٤/٢٠٢٥",
        "1_2/3/2024",
    ],
)
def test_what_is_no_date_is_refused_with_the_form_to_write(text):
    with pytest.raises(InvalidDate, match="YYYY-MM-DD") as refused:
        parse_date(text)
    assert refused.value.code == "invalid_date"


def test_a_bare_number_of_five_digits_is_an_excel_date_and_marked_as_one():
    read = parse_date("45292")
    assert (read.value, read.is_serial) == (date(2024, 1, 1), True)
    assert not parse_date("2024-01-01").is_serial


def test_nothing_that_decides_leaves_day_and_month_ambiguous():
    for order in (DateOrder.UNDECIDED, DateOrder.CONTRADICTORY):
        with pytest.raises(InvalidDate) as refused:
            parse_date("03/04/2025", order)
        assert refused.value.code == "ambiguous_date"


def test_equal_day_and_month_are_never_ambiguous():
    assert parse_date("04/04/2025").value == date(2025, 4, 4)


def test_dots_mean_day_first_whatever_the_column_says():
    assert parse_date("03.04.2025", DateOrder.MONTH_FIRST).value == date(2025, 4, 3)


@given(st.lists(days), st.sampled_from(["%d/%m/%Y", "%m/%d/%Y"]), st.sampled_from("/-"))
def test_a_column_of_one_order_never_contradicts_itself_and_is_read_in_it(values, form, separator):
    texts = [value.strftime(form.replace("/", separator)) for value in values]
    order = column_date_order({shown for text in texts if (shown := date_order_of(text))})
    assert order is not DateOrder.CONTRADICTORY
    for value, text in zip(values, texts, strict=True):
        if order is DateOrder.UNDECIDED and value.day != value.month:
            with pytest.raises(InvalidDate, match="two ways"):
                parse_date(text, order)
        else:
            assert parse_date(text, order).value == value


@given(days, st.sampled_from(list(DateOrder)))
def test_an_iso_date_is_itself_in_any_column(value, order):
    assert parse_date(value.isoformat(), order).value == value


@given(st.text(max_size=30) | st.from_regex(r"[0-9 /.\-:A-Za-z]{1,20}"))
def test_any_text_is_a_date_or_refused(text):
    with contextlib.suppress(InvalidDate):
        parse_date(text)


def test_both_orders_in_one_column_contradict():
    shown = {date_order_of("13/01/2025"), date_order_of("01/13/2025")}
    assert column_date_order(shown) is DateOrder.CONTRADICTORY
