"""Rows cut into batches: every row once, as few calls as the LMS allows, the canary first; and the estimate."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import (
    a_candidate,
    a_course,
    a_job,
    a_job_of,
    a_row,
    as_new,
    change_records,
    claimed,
    items_of,
    open_batches_of,
    statuses_of,
)
from worker.jobs import advance
from worker.jobs.estimate import calls_of_course, estimate
from worker.jobs.planning import cut_batches, plan_batches
from worker.ledger import batches, importing, schema
from worker.ledger.batches import BatchPlan, OpenBatch
from worker.ledger.importing import inside
from worker.model import STAGES, Action, CandidateState, RosterRow, RowRules, RowStatus

if TYPE_CHECKING:
    from worker.ledger.transactions import Ledger


def a_read_job(ledger: Ledger, *roster: RosterRow) -> int:
    """Open a job whose rows are in no batch yet."""
    with ledger.write() as tx:
        job_id = a_job(tx)
        importing.add_rows(inside(tx), job_id, "north", map(as_new, roster), again=False)
    return job_id


COUNTS = st.integers(1, 500)
SIZES = st.integers(1, 60)


@given(count=COUNTS, batch_size=SIZES, canary=st.booleans())
def test_every_row_is_in_exactly_one_batch_in_roster_order(count: int, batch_size: int, *, canary: bool) -> None:
    planned = cut_batches("58", list(range(count)), batch_size=batch_size, canary=canary)

    assert [row_id for plan in planned for row_id in plan.row_ids] == list(range(count))
    assert [plan.canary for plan in planned] == [canary] + [False] * (len(planned) - 1)
    assert all(0 < len(plan.row_ids) <= batch_size for plan in planned)


@given(COUNTS, SIZES)
def test_the_canary_is_one_row(count: int, batch_size: int) -> None:
    assert len(cut_batches("58", list(range(count)), batch_size=batch_size)[0].row_ids) == 1


@given(count=COUNTS, rows_per_call=SIZES, proven=st.booleans())
def test_the_batches_take_the_calls_that_are_planned(count: int, rows_per_call: int, *, proven: bool) -> None:
    planned = cut_batches("58", range(count), batch_size=rows_per_call, canary=not proven)

    assert len(planned) == calls_of_course(count, rows_per_call, proven=proven)


def test_each_course_has_batches_of_its_own(ledger: Ledger) -> None:
    job_id = a_read_job(ledger, *(a_row(number, course=a_course(str(58 + number % 2))) for number in range(2, 22)))

    with ledger.write() as tx:
        assert plan_batches(tx, job_id, batch_size=4) == 8

    planned = open_batches_of(ledger, job_id)
    assert [batch.course_key for batch in planned if batch.canary] == [a_course("58").key, a_course("59").key]
    for place, batch in enumerate(planned):
        works = items_of(ledger, claimed(ledger, job_id, place=place))
        assert {work.row.course.key for work in works if work.row.course} == {batch.course_key}


def test_planning_again_adds_only_what_waits_outside_of_open_batches(ledger: Ledger) -> None:
    job_id = a_read_job(ledger, *(a_row(number) for number in range(2, 12)))
    with ledger.write() as tx:
        plan_batches(tx, job_id, batch_size=5)

        assert plan_batches(tx, job_id, batch_size=5) == 0

        batches.close_batches(tx, job_id)
        assert plan_batches(tx, job_id, batch_size=5) == 3


def test_nothing_is_planned_for_rows_that_are_done_or_invalid(ledger: Ledger) -> None:
    job_id = a_read_job(ledger, *(a_row(number) for number in range(2, 6)))
    for number, status in enumerate((RowStatus.REGISTERED, RowStatus.SKIPPED, RowStatus.REJECTED), start=2):
        with ledger.write() as tx:
            tx.execute(schema.row.update().where(schema.row.c.row == number).values(status=status))

    with ledger.write() as tx:
        plan_batches(tx, job_id, batch_size=5)

    (work,) = items_of(ledger, claimed(ledger, job_id))
    assert work.row.row == 5


@pytest.mark.parametrize(
    ("people", "rows_per_call", "lists_people", "least", "most"),
    [
        (10, 100, False, 12, 12),
        (250, 100, False, 254, 254),
        (10, 1, True, 10, 10 + 10 + 1 + 1 + 1),
        (250, 1, True, 250, 250 + 250 + 1 + 1 + 3),
    ],
)
def test_the_calls_of_new_people_are_counted(
    ledger: Ledger, people: int, rows_per_call: int, *, lists_people: bool, least: int, most: int
) -> None:
    job_id = a_read_job(ledger, *(a_row(number) for number in range(2, people + 2)))

    with ledger.read() as tx:
        found = estimate(tx, job_id, RowRules(rows_per_call=rows_per_call, lists_people=lists_people))

    assert (found.least, found.most) == (least, most)
    assert found.seconds(2.0) == most / 2


def test_one_person_on_several_courses_is_created_once_and_each_course_has_its_calls(ledger: Ledger) -> None:
    ana = a_candidate()
    job_id = a_read_job(ledger, *(a_row(number, ana, course=a_course(str(number))) for number in range(2, 5)))

    with ledger.read() as tx:
        assert estimate(tx, job_id, RowRules(rows_per_call=100)).most == 1 + 3


def test_people_whom_the_ledger_knows_cost_no_creation(ledger: Ledger) -> None:
    job_id = a_read_job(ledger, a_row(2), a_row(3))
    change_records(ledger, schema.candidate, state=CandidateState.KNOWN)

    with ledger.read() as tx:
        assert estimate(tx, job_id, RowRules(rows_per_call=100)).most == 2


def test_a_job_that_is_done_takes_no_more_calls(ledger: Ledger) -> None:
    job_id = a_read_job(ledger, a_row(2))
    change_records(ledger, schema.row, status=RowStatus.REGISTERED)

    with ledger.read() as tx:
        for lists_people in (True, False):
            found = estimate(tx, job_id, RowRules(lists_people=lists_people))
            assert (found.least, found.most) == (0, 0)


def a_batch(
    id_: int, course: str = "58", *, canary: bool = False, running: bool = False, not_before: float | None = None
) -> OpenBatch:
    return OpenBatch(id=id_, course_key=course, canary=canary, running=running, not_before=not_before)


OPEN_BATCHES = st.lists(
    st.tuples(st.sampled_from(["58", "59"]), st.booleans(), st.booleans(), st.sampled_from([None, 5.0, 50.0])),
    max_size=12,
).map(
    lambda each: [
        a_batch(id_, course, canary=canary, running=running, not_before=not_before)
        for id_, (course, canary, running, not_before) in enumerate(each)
    ]
)


@given(OPEN_BATCHES, st.integers(0, 4))
def test_a_batch_starts_alone_after_its_canary_and_not_before_its_time(
    open_batches: list[OpenBatch], at_once: int
) -> None:
    running = [batch for batch in open_batches if batch.running][:at_once]

    started = advance.startable(open_batches, running, at_once=at_once, at=10.0)

    assert len(running) + len(started) <= max(at_once, len(running))
    assert all(one.id < other.id for one, other in pairwise(started))
    for batch in started:
        assert not batch.running
        assert (batch.not_before or 0) <= 10.0
        canaries = [each for each in open_batches if each.canary and each.course_key == batch.course_key]
        assert not canaries or canaries[0].id == batch.id


def test_of_a_course_whose_canary_is_through_several_start_at_once() -> None:
    waiting = [a_batch(1), a_batch(2), a_batch(3), a_batch(4, "59", canary=True), a_batch(5, "59")]

    started = advance.startable(waiting, [], at_once=9, at=0.0)

    assert [batch.id for batch in started] == [1, 2, 3, 4]


# Actions


def test_each_action_has_batches_of_its_own_in_the_order_of_what_needs_what(ledger: Ledger) -> None:
    ana = a_candidate()
    actions = [Action.DEACTIVATE, Action.WITHDRAW, Action.COMPLETE, Action.APPROVE, Action.REGISTER, Action.UPDATE]
    job_id = a_read_job(ledger, *(a_row(number, ana, action=action) for number, action in enumerate(actions, 2)))

    with ledger.write() as tx:
        plan_batches(tx, job_id, batch_size=10)

    assert [batch.action for batch in open_batches_of(ledger, job_id)] == list(STAGES)


def test_an_action_waits_until_all_that_comes_before_it_is_done() -> None:
    def a_batch(id_: int, action: Action, *, running: bool = False) -> OpenBatch:
        return OpenBatch(id=id_, course_key=str(id_), canary=False, running=running, not_before=None, action=action)

    registering, approving, completing = (
        a_batch(1, Action.REGISTER),
        a_batch(2, Action.APPROVE),
        a_batch(3, Action.COMPLETE),
    )
    at_work = a_batch(1, Action.REGISTER, running=True)

    assert advance.startable([registering, approving, completing], (), at_once=3, at=0.0) == [registering]
    assert advance.startable([at_work, approving, completing], [at_work], at_once=3, at=0.0) == []
    assert advance.startable([approving, completing], (), at_once=3, at=0.0) == [approving]


def test_another_action_on_the_same_registration_is_no_duplicate(ledger: Ledger) -> None:
    ana = a_candidate()
    rows_of = [a_row(2, ana), a_row(3, ana, action=Action.COMPLETE), a_row(4, ana, action=Action.COMPLETE)]
    job_id = a_read_job(ledger, *rows_of)

    assert statuses_of(ledger, job_id) == {
        2: RowStatus.NOT_ATTEMPTED,
        3: RowStatus.NOT_ATTEMPTED,
        4: RowStatus.SKIPPED,
    }


def test_a_canary_without_rows_does_not_wait_for_the_batches_that_wait_for_it(ledger: Ledger) -> None:
    job_id = a_job_of(ledger, a_row(2), a_row(3), size=1)
    with ledger.write() as tx:
        batches.save_plan(tx, job_id, [BatchPlan(course_key="42/58", canary=True, row_ids=())])
        batches.replace_confirmations(tx, job_id, ["42/58"])
        waiting = batches.open_batches(tx, job_id)

    first = advance.startable(waiting, (), at_once=8, at=0.0)
    second = advance.startable([each for each in waiting if not each.canary], (), at_once=8, at=0.0)
    last = advance.startable([each for each in waiting if each.confirms], (), at_once=8, at=0.0)

    assert [each.canary for each in first] == [True]
    assert [each.confirms for each in second] == [False, False]
    assert [each.confirms for each in last] == [True]
