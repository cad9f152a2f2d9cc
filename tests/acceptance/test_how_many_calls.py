"""The table of docs/how-many-calls.md on a smaller scale: counted, so that a busy machine falsifies nothing."""

from __future__ import annotations

import pytest

from tests.benchmarks.calls import CASES, count

ROWS, BATCH = 60, 20
#: Reading who is there, and who stands on the course: by pages of 100, so for 60 rows a page of each and a probe.
LISTS = 4
#: Moodle: the site, the course, a user who exists, three kinds of look-up, the course's list before and after.
ASKED = 10
#: The first person of a course on which nobody was registered before goes alone.
CANARY = 1


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.system}-{case.what}")
def test_a_roster_takes_the_least_calls_and_a_few_lists(case, office):
    terminal = office()

    counted = count(case, ROWS, terminal.folder, BATCH, lambda *words: terminal.type(*words, "--json").json)

    over = counted.calls - counted.least
    most = {"kmi": LISTS, "moodle": ASKED + 2 * CANARY, "tahdah": CANARY}[case.system]
    assert 0 <= over <= most, counted.by_operation
