"""Whose bells a process answers beside its own work, and how many at one look."""

from __future__ import annotations

from worker.ledger.queue import Bell, Task, Urgency
from worker.runtime.multiplexer import in_turn


def a_bell(job_id: int, task: Task, urgency: Urgency = Urgency.FIRST) -> Bell:
    return Bell(task=task, id=job_id, job_id=job_id, urgency=urgency)


def test_of_the_rosters_that_wait_the_first_is_taken_and_the_others_are_left_to_idle_processes() -> None:
    waiting = [a_bell(job_id, Task.SPLIT) for job_id in (1, 2, 3)]

    assert in_turn(waiting) == waiting[:1]


def test_a_short_roster_goes_before_a_long_one_that_came_first() -> None:
    long, short = a_bell(1, Task.SPLIT, Urgency.LAST), a_bell(2, Task.SPLIT)

    assert in_turn([long, short]) == [short]


def test_batches_and_reports_are_answered_together_the_most_urgent_first() -> None:
    long, short = a_bell(1, Task.REGISTER, Urgency.LAST), a_bell(2, Task.REGISTER)
    written, unread = a_bell(3, Task.REPORT, Urgency.NEXT), a_bell(4, Task.SPLIT, Urgency.NEXT)

    assert in_turn([long, written, unread, short]) == [short, written, unread, long]
