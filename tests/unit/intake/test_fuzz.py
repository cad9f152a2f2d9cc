"""The first inputs of the fuzzer (`make fuzz` tries others): no exception, no id that is another."""

from __future__ import annotations

import time

import pytest

from tests import fuzz

pytestmark = pytest.mark.usefixtures("forked_readers")

#: Inputs of a test, and tests; one input in fifty is a workbook.
INPUTS, TESTS = 250, 4


@pytest.mark.parametrize("first", range(0, INPUTS * TESTS, INPUTS))
def test_no_input_ends_the_reader_or_changes_an_id(first):
    outcomes, failures = fuzz.run(iter(range(first, first + INPUTS)), time.monotonic() + 3_600)

    assert failures == []
    assert outcomes.total() == INPUTS
    assert outcomes["text compared"] + outcomes["damaged text compared"] > INPUTS / 4


@pytest.mark.parametrize(
    ("cell", "external_id"),
    [("00123", "123"), ("A-1", "A-2"), ("3E10", "30000000000"), ("\u00df1", "ss1"), ("A1", None)],
)
def test_the_fuzzer_notices_an_id_that_is_another(cell, external_id):
    with pytest.raises(fuzz.Fault, match=r"row 2"):
        fuzz.compare_ids([(2, external_id)], {1: "external_id", 2: cell})
