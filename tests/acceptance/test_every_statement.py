"""Random jobs: after every step each count, status, stage and relation is what the LMS holds, at every door.

`python -m tests.statements ROUNDS` plays more of them; STATEMENT_ROUNDS=N plays N here.
"""

from __future__ import annotations

import os
import ssl

import pytest

from tests import statements

pytestmark = pytest.mark.slow

ROUNDS = range(100, 100 + int(os.environ.get("STATEMENT_ROUNDS", "2")))


@pytest.mark.parametrize("number", ROUNDS)
def test_no_statement_about_random_jobs_is_false(office, fork_server, number):
    done = statements.play(number, office().folder, ssl.create_default_context(), fork_server, steps=5)

    assert done.world.statements > 100
    assert done.taken == 5


def test_no_statement_is_false_on_postgresql_either(office, fork_server, database):
    done = statements.play(
        71, office().folder, ssl.create_default_context(), fork_server, steps=4, database=database
    )

    assert done.world.statements > 100
