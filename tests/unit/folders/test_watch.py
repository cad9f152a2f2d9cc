"""What is left behind by a watcher that dies at any step is found and finished, once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.builders import a_connection, change_lines, lines_of
from worker.errors import RosterError
from worker.folders import archive, watch
from worker.folders.watch import GROWING
from worker.jobs import lifecycle
from worker.ledger import dropped_files, jobs, schema
from worker.ledger.dropped_files import Drop, DropState
from worker.model import JobState
from worker.settings import Folder

if TYPE_CHECKING:
    from worker.intake.accept import Accepted
    from worker.ledger.transactions import Ledger

ROSTER = "email,first_name,last_name,course_id\nana@example.org,Ana,Ní,58\n"
LONG_AGO = 1_000_000.0


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def whole(ledger: Ledger, inbox: Path, settle: float = 5.0) -> list[Drop]:
    with ledger.write() as tx:
        return watch.find_whole(tx, "inbox", watch.look(inbox).files, settle)


def time_passes(ledger: Ledger) -> None:
    change_lines(ledger, schema.dropped, at=LONG_AGO)


def claimed(ledger: Ledger, inbox: Path, name: str = "a.csv", text: str = ROSTER) -> Drop:
    (inbox / name).write_text(text)
    (drop,) = [each for each in whole(ledger, inbox, settle=0) if each.name == name]
    mine = watch.claim(ledger, drop)
    assert mine is not None
    return mine


def opened(ledger: Ledger, drop: Drop, inbox: Path, **options: Any) -> Accepted | None:
    folder = Folder(name="inbox", path=str(inbox), **options)
    store = str(inbox.parent / "files")
    return watch.open_job(ledger, drop, folder, a_connection("tahdah"), store=store, adopt=lifecycle.adopt)


def ended(ledger: Ledger, job_id: int, state: JobState = JobState.SUCCEEDED) -> jobs.Job:
    with ledger.write() as tx:
        jobs.change_job(tx, job_id, state=state)
        job = jobs.find_job(tx, job_id)
    assert job is not None
    return job


def laid_aside(ledger: Ledger, job: jobs.Job) -> jobs.Job:
    return archive.lay_aside(ledger, job, tidy_up=lambda _path: None)


def test_a_file_is_whole_when_two_looks_some_time_apart_see_the_same(ledger: Ledger, inbox: Path) -> None:
    (inbox / "a.csv").write_text(ROSTER)
    assert whole(ledger, inbox) == []
    assert whole(ledger, inbox) == []

    time_passes(ledger)

    assert [drop.name for drop in whole(ledger, inbox)] == ["a.csv"]


@pytest.mark.parametrize("change", [{"text": ROSTER * 2}, {"at": 5000.0}])
def test_a_file_that_has_changed_between_two_looks_settles_anew(
    ledger: Ledger, inbox: Path, change: dict[str, Any]
) -> None:
    file = inbox / "a.csv"
    file.write_text(ROSTER)
    whole(ledger, inbox)
    time_passes(ledger)
    if "text" in change:
        file.write_text(change["text"])
    else:
        os.utime(file, (change["at"], change["at"]))

    assert whole(ledger, inbox) == []
    time_passes(ledger)
    assert len(whole(ledger, inbox)) == 1


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(["grow", "wait", "look", "take away"]), min_size=1, max_size=12))
def test_what_is_called_whole_did_not_change_since_a_look_long_ago(
    ledger: Ledger, inbox: Path, steps: list[str]
) -> None:
    file, unchanged, seen = inbox / "a.csv", False, False
    file.unlink(missing_ok=True)
    whole(ledger, inbox)
    for number, step in enumerate(steps):
        if step == "grow":
            file.write_text("x" * (number + 1))
            unchanged = seen = False
        elif step == "take away":
            file.unlink(missing_ok=True)
            unchanged = seen = False
        elif step == "wait":
            time_passes(ledger)
            unchanged = seen
        else:
            found = whole(ledger, inbox)
            assert bool(found) == (unchanged and file.exists())
            seen = file.exists()


def test_a_file_that_was_taken_away_is_forgotten(ledger: Ledger, inbox: Path) -> None:
    (inbox / "a.csv").write_text(ROSTER)
    whole(ledger, inbox)
    (inbox / "a.csv").unlink()
    whole(ledger, inbox)

    assert lines_of(ledger, schema.dropped) == []


def test_of_two_that_claim_a_file_one_has_it(ledger: Ledger, inbox: Path) -> None:
    (inbox / "a.csv").write_text(ROSTER)
    (drop,) = whole(ledger, inbox, settle=0)

    first, second = watch.claim(ledger, drop), watch.claim(ledger, drop)

    assert first is not None
    assert second is None
    assert names(inbox / "processing") == ["a.csv"]


def test_who_loses_the_rename_to_another_ledger_forgets_the_file(ledger: Ledger, inbox: Path) -> None:
    (inbox / "a.csv").write_text(ROSTER)
    (drop,) = whole(ledger, inbox, settle=0)
    (inbox / "processing").mkdir()
    (inbox / "a.csv").rename(inbox / "processing" / "a.csv")

    assert watch.claim(ledger, drop) is None
    assert lines_of(ledger, schema.dropped) == []


@pytest.mark.parametrize("renamed", [False, True])
def test_a_claim_that_a_dead_watcher_began_is_finished(ledger: Ledger, inbox: Path, *, renamed: bool) -> None:
    (inbox / "a.csv").write_text(ROSTER)
    (drop,) = whole(ledger, inbox, settle=0)
    watch.make_folder(inbox / "processing")
    aimed = watch.aim_at(ledger, drop, inbox / "processing", DropState.CLAIMED)
    assert aimed is not None
    if renamed:
        (inbox / "a.csv").rename(inbox / "processing" / "a.csv")
        (inbox / "a.csv").write_text("the next one of that name")

    assert watch.find_left_behind(ledger, "inbox") == []
    time_passes(ledger)
    (found,) = watch.find_left_behind(ledger, "inbox")

    assert (inbox / "processing" / "a.csv").read_text() == ROSTER
    assert found.path == str(inbox / "processing" / "a.csv")
    assert opened(ledger, found, inbox) is not None
    assert watch.find_left_behind(ledger, "inbox") == []


def test_a_file_has_one_job_however_many_open_it(ledger: Ledger, inbox: Path) -> None:
    drop = claimed(ledger, inbox)

    assert opened(ledger, drop, inbox) is not None
    assert opened(ledger, drop, inbox) is None
    assert len(lines_of(ledger, schema.job)) == 1


def test_a_file_that_grows_after_all_waits_in_processing(ledger: Ledger, inbox: Path) -> None:
    drop = claimed(ledger, inbox)
    with open(drop.path, "a", encoding="utf-8") as file:  # noqa: PTH123 - whoever wrote it had it open
        file.write("ben@example.org,Ben,Ó,58\n")

    assert opened(ledger, drop, inbox) is None
    (waiting,) = watch.find_left_behind(ledger, "inbox")
    assert waiting.error == GROWING
    assert opened(ledger, waiting, inbox) is None
    time_passes(ledger)
    (waiting,) = watch.find_left_behind(ledger, "inbox")
    assert opened(ledger, waiting, inbox) is not None


def test_why_a_file_has_no_job_yet_is_noted(ledger: Ledger, inbox: Path) -> None:
    drop = claimed(ledger, inbox)
    (inbox.parent / "files").write_text("a file is in the way")

    with pytest.raises(RosterError):
        opened(ledger, drop, inbox)

    (waiting,) = watch.find_left_behind(ledger, "inbox")
    assert "cannot be kept" in waiting.error
    (inbox.parent / "files").unlink()
    assert opened(ledger, waiting, inbox) is not None


@pytest.mark.parametrize(
    ("state", "where"),
    [
        (JobState.SUCCEEDED, "done"),
        (JobState.COMPLETED_WITH_ERRORS, "done"),
        (JobState.INVALID, "failed"),
        (JobState.CANCELLED, "failed"),
        (JobState.FAILED, "failed"),
        (JobState.HELD, "processing"),
        (JobState.PAUSED, "processing"),
    ],
)
def test_where_a_file_ends_is_how_its_job_ended(ledger: Ledger, inbox: Path, state: JobState, where: str) -> None:
    accepted = opened(ledger, claimed(ledger, inbox), inbox)
    assert accepted is not None

    job = laid_aside(ledger, ended(ledger, accepted.job_id, state))

    assert (inbox / where / "a.csv").read_text() == ROSTER
    assert job.report_dir == str(inbox / where)


@pytest.mark.parametrize("linked", ["not yet", "linked", "moved"])
def test_a_file_whose_mover_died_is_moved_once(ledger: Ledger, inbox: Path, linked: str) -> None:
    drop = claimed(ledger, inbox)
    accepted = opened(ledger, drop, inbox)
    assert accepted is not None
    (taken,) = lines_of(ledger, schema.dropped)
    done = inbox / "done"
    watch.make_folder(done)
    with ledger.read() as tx:
        found = dropped_files.find(tx, taken.id)
    assert found is not None
    assert watch.aim_at(ledger, found, done, DropState.TAKEN) is not None
    if linked != "not yet":
        os.link(drop.path, done / "a.csv")
    if linked == "moved":
        Path(drop.path).unlink()

    laid_aside(ledger, ended(ledger, accepted.job_id))

    assert (names(inbox / "processing"), names(done)) == ([], ["a.csv"])
    assert lines_of(ledger, schema.dropped)[0].state == "ended"


def test_no_file_is_ever_overwritten(ledger: Ledger, inbox: Path) -> None:
    for _ in range(2):
        accepted = opened(ledger, claimed(ledger, inbox), inbox)
        assert accepted is not None
        (inbox / "done").mkdir(exist_ok=True)
        if not names(inbox / "done"):
            (inbox / "done" / "a.csv").write_text("another one's")
        job = laid_aside(ledger, ended(ledger, accepted.job_id))

    assert names(inbox / "done") == ["a-2.csv", "a-3.csv", "a.csv"]
    assert (inbox / "done" / "a.csv").read_text() == "another one's"
    assert job.roster == "a-3.csv"


def test_a_name_that_was_taken_since_it_was_chosen_is_chosen_anew(ledger: Ledger, inbox: Path) -> None:
    accepted = opened(ledger, claimed(ledger, inbox), inbox)
    assert accepted is not None
    (taken,) = lines_of(ledger, schema.dropped)
    watch.make_folder(inbox / "done")
    with ledger.read() as tx:
        found = dropped_files.find(tx, taken.id)
    assert found is not None
    watch.aim_at(ledger, found, inbox / "done", DropState.TAKEN)
    (inbox / "done" / "a.csv").write_text("another one's")

    laid_aside(ledger, ended(ledger, accepted.job_id))

    assert names(inbox / "done") == ["a-2.csv", "a.csv"]


def test_a_share_that_is_away_leaves_everything_for_later(ledger: Ledger, inbox: Path) -> None:
    accepted = opened(ledger, claimed(ledger, inbox), inbox)
    assert accepted is not None
    inbox.rename(away := inbox.with_name("away"))
    job = laid_aside(ledger, ended(ledger, accepted.job_id))
    assert not inbox.exists()
    (inbox / "processing").mkdir(parents=True)
    laid_aside(ledger, job)
    shutil.rmtree(inbox)
    away.rename(inbox)

    laid_aside(ledger, job)

    assert (inbox / "done" / "a.csv").read_text() == ROSTER


def test_a_file_that_grew_while_its_job_was_at_work_is_told_in_the_report(ledger: Ledger, inbox: Path) -> None:
    drop = claimed(ledger, inbox)
    accepted = opened(ledger, drop, inbox)
    assert accepted is not None
    with open(drop.path, "a", encoding="utf-8") as file:  # noqa: PTH123 - whoever wrote it had it open
        file.write("ben@example.org,Ben,Ó,58\n")

    job = laid_aside(ledger, ended(ledger, accepted.job_id))

    assert "what came later was not read" in job.notes[-1]


def test_our_folders_are_as_open_as_the_folder_itself(ledger: Ledger, inbox: Path) -> None:
    inbox.chmod(0o2770)
    claimed(ledger, inbox)

    assert (inbox / "processing").stat().st_mode & 0o7777 == 0o2770


def test_where_there_are_no_hard_links_nothing_is_overwritten_either(tmp_path: Path) -> None:
    source, goal = tmp_path / "a.csv", tmp_path / "b.csv"
    source.write_text("mine")
    goal.write_text("another one's")

    assert not archive._moved_without_links(source, goal)
    assert goal.read_text() == "another one's"
    goal.unlink()
    assert archive._moved_without_links(source, goal)
    assert archive._moved_without_links(source, goal)
    assert goal.read_text() == "mine"
