"""The order of the tests: each test process begins with its share of the slow ones."""

from __future__ import annotations

import pytest

from tests.conftest import shares_of


@pytest.mark.parametrize("processes", range(1, 8))
@pytest.mark.parametrize("modules", range(8))
def test_each_process_begins_with_its_share_of_the_slow_tests(processes, modules):
    slow = [[f"{number}a", f"{number}b"] for number in range(modules)]
    others = list(range(40))

    arranged = shares_of(slow, others, processes)

    assert len(arranged) == 2 * modules + len(others)
    assert [each for each in arranged if isinstance(each, int)] == others
    begun, remaining = 0, len(arranged)
    for number in range(processes):
        # As xdist divides them.
        size = remaining // (processes - number)
        own = [each for module in slow[number::processes] for each in module]
        assert arranged[begun : begun + len(own)] == own
        begun, remaining = begun + size, remaining - size
