"""Random jobs: after every step each count, status, stage and relation is what the LMS holds, at every door.

`python -m tests.statements ROUNDS SEED` plays more and longer rounds; STATEMENT_ROUNDS=N plays N here. Here
commands are asked once in a round, the API and the page after every step.
"""

from __future__ import annotations

import os
import ssl
from functools import partial

import pytest

from tests import statements

pytestmark = pytest.mark.slow

ROUNDS = range(102, 102 + int(os.environ.get("STATEMENT_ROUNDS", "1")))
#: A round of Tahdah; those above begin with one of KMI.
POSTGRESQL_ROUND = 70


@pytest.fixture
def play(office, fork_server):
    return partial(
        statements.play,
        folder=office().folder,
        tls=ssl.create_default_context(),
        forks=fork_server,
        types_once=True,
    )


@pytest.mark.parametrize("number", ROUNDS)
def test_no_statement_about_random_jobs_is_false(play, number):
    done = play(number, steps=5)

    assert done.world.statements > 100
    assert done.taken == 5


def test_no_statement_is_false_on_postgresql_either(play, database):
    done = play(POSTGRESQL_ROUND, steps=4, database=database)

    assert done.world.statements > 100
