"""Which unclaimed messages a process runs next to its own work, and how many at a time."""

from __future__ import annotations

from worker.ledger.queue import Priority, Task, TaskMessage
from worker.runtime.multiplexer import in_order


def a_message(job_id: int, task: Task, urgency: Priority = Priority.HIGH) -> TaskMessage:
    return TaskMessage(task=task, id=job_id, job_id=job_id, priority=urgency)


def test_of_the_waiting_imports_the_first_is_run_and_the_others_are_left_to_idle_processes() -> None:
    waiting = [a_message(job_id, Task.SPLIT) for job_id in (1, 2, 3)]

    assert in_order(waiting) == waiting[:1]


def test_a_short_roster_goes_before_a_long_one_that_came_first() -> None:
    long, short = a_message(1, Task.SPLIT, Priority.LOW), a_message(2, Task.SPLIT)

    assert in_order([long, short]) == [short]


def test_batches_and_reports_are_run_together_the_most_urgent_first() -> None:
    long, short = a_message(1, Task.REGISTER, Priority.LOW), a_message(2, Task.REGISTER)
    written, unread = a_message(3, Task.REPORT, Priority.NORMAL), a_message(4, Task.SPLIT, Priority.NORMAL)

    assert in_order([long, written, unread, short]) == [short, written, unread, long]
