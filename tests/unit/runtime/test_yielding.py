"""Reading a long roster in stands back for short jobs at work, and not for ever."""

from __future__ import annotations

import time
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest

from tests.builders import a_candidate, a_job, a_job_of, a_row, change_lines
from worker.intake.importing import read_in
from worker.ledger import jobs, queue, schema
from worker.ledger.database import now
from worker.ledger.importing import PIECE_ROWS
from worker.ledger.leases import owner_name
from worker.model import Driver, JobState, RowRules, RowStatus
from worker.runtime.yielding import AT_ONCE, Courtesy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from worker.ledger.jobs import Job
    from worker.ledger.transactions import Ledger


def a_job_at_work(ledger: Ledger, rows: int = 3, **changes: object) -> int:
    roster = (a_row(number, a_candidate(email=f"p{number}@example.com")) for number in range(2, rows + 2))
    return a_job_of(ledger, *roster, **{"driver": Driver.QUEUE, **changes})


def a_roster_to_read(ledger: Ledger, folder: Path, rows: int) -> Job:
    kept = folder / "kept.csv"
    kept.write_bytes(b"x" * rows * queue.BYTES_PER_ROW)
    with ledger.write() as tx:
        job_id = a_job(tx, JobState.VALIDATING, driver=Driver.QUEUE, kept_at=str(kept))
        job = jobs.find_job(tx, job_id)
    assert job is not None
    return job


def test_a_long_roster_waits_for_a_short_job_and_goes_on_when_that_is_done(ledger: Ledger, tmp_path: Path) -> None:
    a_job_at_work(ledger)
    courtesy = Courtesy.of(ledger, a_roster_to_read(ledger, tmp_path, 20_000))
    reading = Thread(target=courtesy.stand_back)
    reading.start()
    reading.join(0.5)
    waited = reading.is_alive()

    change_lines(ledger, schema.row, status=RowStatus.REGISTERED)
    reading.join(10)

    assert waited
    assert not reading.is_alive()


@pytest.mark.parametrize(("rows", "seconds"), [(100, 0), (300, 3), (1_000, 10), (20_000, 20)])
def test_the_longer_a_roster_the_longer_it_waits_for_short_ones(
    ledger: Ledger, tmp_path: Path, rows: int, seconds: float
) -> None:
    assert Courtesy.of(ledger, a_roster_to_read(ledger, tmp_path, rows)).seconds_left == pytest.approx(seconds)


def test_a_roster_of_a_few_hundred_waits_for_nobody_but_much_shorter_ones(ledger: Ledger, tmp_path: Path) -> None:
    a_job_at_work(ledger, rows=120)
    began = time.monotonic()

    Courtesy.of(ledger, a_roster_to_read(ledger, tmp_path, 400)).stand_back()
    beside_a_like_one = time.monotonic() - began
    Courtesy.of(ledger, a_roster_to_read(ledger, tmp_path, 500)).stand_back()

    assert beside_a_like_one < 2
    assert time.monotonic() - began >= 5


def test_its_patience_is_for_all_its_pieces_together(ledger: Ledger, tmp_path: Path) -> None:
    a_job_at_work(ledger)
    courtesy = Courtesy(ledger, a_roster_to_read(ledger, tmp_path, 20_000).id, short=3, seconds_left=0.4)
    began = time.monotonic()

    for _ in range(40):
        courtesy.stand_back()

    assert 0.4 <= time.monotonic() - began < 40 * 0.4 / 2


@pytest.mark.parametrize(
    ("changes", "stands_back"),
    [
        ({}, True),
        ({"rows": 201}, False),
        ({"state": JobState.PAUSED}, False),
        ({"state": JobState.WAITING}, False),
        ({"driver": Driver.PROCESS}, False),
    ],
    ids=["few rows left", "many rows left", "paused", "waiting", "another process's"],
)
def test_for_whom_a_reading_stands_back(ledger: Ledger, changes: dict[str, object], *, stands_back: bool) -> None:
    a_job_at_work(ledger, **changes)  # type: ignore[arg-type]
    with ledger.write() as tx:
        mine = a_job(tx, JobState.VALIDATING, driver=Driver.QUEUE)

        assert queue.short_at_work(tx, mine) is stands_back


def test_a_short_roster_that_is_being_read_in_comes_first_too(ledger: Ledger, tmp_path: Path) -> None:
    short = a_roster_to_read(ledger, tmp_path, 20)
    with ledger.write() as tx:
        mine = a_job(tx, JobState.VALIDATING, driver=Driver.QUEUE)
        just_come = queue.short_at_work(tx, mine)
        jobs.change_job(tx, short.id, created_at=now() - 60)
        nobody_comes = queue.short_at_work(tx, mine)
        jobs.take_job(tx, short.id, owner_name())

        assert just_come
        assert not nobody_comes
        assert queue.short_at_work(tx, mine)
        assert not queue.short_at_work(tx, short.id)


def turns_to_read(ledger: Ledger, folder: Path, rows: int) -> int:
    kept, turns, me = folder / f"{rows}.csv", [], owner_name()
    people = [f"p{number}@example.com,Ana,A,58" for number in range(rows)]
    kept.write_text("\n".join(["email,first_name,last_name,course_id", *people]))
    with ledger.write() as tx:
        job_id = a_job(tx, JobState.UPLOADED, driver=Driver.QUEUE, kept_at=str(kept))
        jobs.take_job(tx, job_id, me)

    @contextmanager
    def turn() -> Iterator[None]:
        turns.append(rows)
        yield

    read_in(ledger, job_id, RowRules(), owner=me, turn=turn)
    return len(turns)


def test_each_piece_of_a_roster_is_written_in_a_turn_of_its_own(ledger: Ledger, tmp_path: Path) -> None:
    short = turns_to_read(ledger, tmp_path, 10)

    assert turns_to_read(ledger, tmp_path, 2 * PIECE_ROWS + 10) == short + 2


def test_a_few_rosters_are_written_at_once_and_the_others_hold_no_line_to_the_database(
    ledger: Ledger, tmp_path: Path
) -> None:
    writing, most, gate = [], [], Event()
    courtesies = [Courtesy.of(ledger, a_roster_to_read(ledger, tmp_path, 10)) for _ in range(6)]

    def write(courtesy: Courtesy) -> None:
        with courtesy.turn():
            writing.append(courtesy)
            most.append(len(writing))
            gate.wait(5)
            writing.remove(courtesy)

    readings = [Thread(target=write, args=(courtesy,)) for courtesy in courtesies]
    for reading in readings:
        reading.start()
    time.sleep(0.3)
    at_once = len(writing)
    gate.set()
    for reading in readings:
        reading.join(10)

    assert at_once == AT_ONCE
    assert max(most) == AT_ONCE
    assert len(most) == len(courtesies)
