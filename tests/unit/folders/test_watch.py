"""What a process that died at any step left half done is found and finished, once."""

from __future__ import annotations

import os
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import a_connection, change_records, records_of
from worker.bootstrap import Services
from worker.errors import RosterError
from worker.folders import archive, watch
from worker.folders.watch import STILL_GROWING
from worker.ledger import dropped_files, jobs, schema
from worker.ledger.dropped_files import DroppedFile, DroppedFileState
from worker.model import JobState
from worker.runtime import folder_sweep
from worker.settings import Folder, Settings

if TYPE_CHECKING:
    from worker.jobs.submission import Submission
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


def complete(ledger: Ledger, inbox: Path, settle: float = 5.0) -> list[DroppedFile]:
    with ledger.write() as tx:
        return watch.find_complete(tx, "inbox", watch.scan_folder(inbox).files, settle)


def time_passes(ledger: Ledger) -> None:
    change_records(ledger, schema.dropped_file, updated_at=LONG_AGO)


def claimed(ledger: Ledger, inbox: Path, name: str = "a.csv", text: str = ROSTER) -> DroppedFile:
    (inbox / name).write_text(text)
    (file,) = [each for each in complete(ledger, inbox, settle=0) if each.name == name]
    mine = watch.claim_file(ledger, file)
    assert mine is not None
    return mine


def submitted(ledger: Ledger, file: DroppedFile, inbox: Path, **options: Any) -> Submission | None:
    folder = Folder(name="inbox", path=str(inbox), **options)
    services = Services(settings=Settings(files=str(inbox.parent / "files")), ledger=ledger, owner="here/1/1.0")
    submit = partial(folder_sweep.submit_file, services, folder, a_connection("tahdah"))
    return watch.submit_claimed(ledger, file, folder.settle_seconds, submit)


def ended(ledger: Ledger, job_id: int, state: JobState = JobState.SUCCEEDED) -> jobs.Job:
    with ledger.write() as tx:
        jobs.change_job(tx, job_id, state=state)
        job = jobs.find_job(tx, job_id)
    assert job is not None
    return job


def archived(ledger: Ledger, job: jobs.Job) -> jobs.Job:
    return archive.archive_files(ledger, job)


def test_a_file_is_complete_when_two_scans_some_time_apart_find_it_unchanged(ledger: Ledger, inbox: Path) -> None:
    (inbox / "a.csv").write_text(ROSTER)
    assert complete(ledger, inbox) == []
    assert complete(ledger, inbox) == []

    time_passes(ledger)

    assert [file.name for file in complete(ledger, inbox)] == ["a.csv"]


@pytest.mark.parametrize("change", [{"text": ROSTER * 2}, {"at": 5000.0}])
def test_a_file_that_has_changed_between_two_scans_must_stop_changing_first(
    ledger: Ledger, inbox: Path, change: dict[str, Any]
) -> None:
    file = inbox / "a.csv"
    file.write_text(ROSTER)
    complete(ledger, inbox)
    time_passes(ledger)
    if "text" in change:
        file.write_text(change["text"])
    else:
        os.utime(file, (change["at"], change["at"]))

    assert complete(ledger, inbox) == []
    time_passes(ledger)
    assert len(complete(ledger, inbox)) == 1


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(st.sampled_from(["grow", "wait", "scan", "remove"]), min_size=1, max_size=12))
def test_a_complete_file_has_not_changed_since_a_scan_long_ago(
    ledger: Ledger, inbox: Path, steps: list[str]
) -> None:
    file, unchanged, seen = inbox / "a.csv", False, False
    file.unlink(missing_ok=True)
    complete(ledger, inbox)
    for number, step in enumerate(steps):
        if step == "grow":
            file.write_text("x" * (number + 1))
            unchanged = seen = False
        elif step == "remove":
            file.unlink(missing_ok=True)
            unchanged = seen = False
        elif step == "wait":
            time_passes(ledger)
            unchanged = seen
        else:
            found = complete(ledger, inbox)
            assert bool(found) == (unchanged and file.exists())
            seen = file.exists()


def test_a_file_that_was_removed_is_deleted_from_the_ledger(ledger: Ledger, inbox: Path) -> None:
    (inbox / "a.csv").write_text(ROSTER)
    complete(ledger, inbox)
    (inbox / "a.csv").unlink()
    complete(ledger, inbox)

    assert records_of(ledger, schema.dropped_file) == []


def test_one_of_two_claims_of_a_file_succeeds(ledger: Ledger, inbox: Path) -> None:
    (inbox / "a.csv").write_text(ROSTER)
    (file,) = complete(ledger, inbox, settle=0)

    first, second = watch.claim_file(ledger, file), watch.claim_file(ledger, file)

    assert first is not None
    assert second is None
    assert names(inbox / "processing") == ["a.csv"]


def test_a_file_that_another_ledger_has_renamed_is_deleted_from_this_one(ledger: Ledger, inbox: Path) -> None:
    (inbox / "a.csv").write_text(ROSTER)
    (file,) = complete(ledger, inbox, settle=0)
    (inbox / "processing").mkdir()
    (inbox / "a.csv").rename(inbox / "processing" / "a.csv")

    assert watch.claim_file(ledger, file) is None
    assert records_of(ledger, schema.dropped_file) == []


@pytest.mark.parametrize("renamed", [False, True])
def test_a_claim_that_a_dead_process_began_is_finished(ledger: Ledger, inbox: Path, *, renamed: bool) -> None:
    (inbox / "a.csv").write_text(ROSTER)
    (file,) = complete(ledger, inbox, settle=0)
    watch.make_folder(inbox / "processing")
    moving = watch.choose_target(ledger, file, inbox / "processing", DroppedFileState.CLAIMED)
    assert moving is not None
    if renamed:
        (inbox / "a.csv").rename(inbox / "processing" / "a.csv")
        (inbox / "a.csv").write_text("the next one of that name")

    assert watch.find_claimed(ledger, "inbox") == []
    time_passes(ledger)
    (found,) = watch.find_claimed(ledger, "inbox")

    assert (inbox / "processing" / "a.csv").read_text() == ROSTER
    assert found.path == str(inbox / "processing" / "a.csv")
    assert submitted(ledger, found, inbox) is not None
    assert watch.find_claimed(ledger, "inbox") == []


def test_a_file_is_submitted_once(ledger: Ledger, inbox: Path) -> None:
    file = claimed(ledger, inbox)

    assert submitted(ledger, file, inbox) is not None
    assert submitted(ledger, file, inbox) is None
    assert len(records_of(ledger, schema.job)) == 1


def test_a_file_that_grows_after_its_claim_waits_in_processing(ledger: Ledger, inbox: Path) -> None:
    file = claimed(ledger, inbox)
    with Path(file.path).open("a", encoding="utf-8") as stream:
        stream.write("ben@example.org,Ben,Ó,58\n")

    assert submitted(ledger, file, inbox) is None
    (waiting,) = watch.find_claimed(ledger, "inbox")
    assert waiting.error == STILL_GROWING
    assert submitted(ledger, waiting, inbox) is None
    time_passes(ledger)
    (waiting,) = watch.find_claimed(ledger, "inbox")
    assert submitted(ledger, waiting, inbox) is not None


def test_the_reason_why_a_file_has_no_job_yet_is_recorded(ledger: Ledger, inbox: Path) -> None:
    file = claimed(ledger, inbox)
    (inbox.parent / "files").write_text("a file is in the way")

    with pytest.raises(RosterError):
        submitted(ledger, file, inbox)

    (waiting,) = watch.find_claimed(ledger, "inbox")
    assert "cannot be stored" in waiting.error
    (inbox.parent / "files").unlink()
    assert submitted(ledger, waiting, inbox) is not None


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
def test_a_file_is_archived_by_the_state_of_its_job(
    ledger: Ledger, inbox: Path, state: JobState, where: str
) -> None:
    accepted = submitted(ledger, claimed(ledger, inbox), inbox)
    assert accepted is not None

    job = archived(ledger, ended(ledger, accepted.job_id, state))

    assert (inbox / where / "a.csv").read_text() == ROSTER
    assert job.report_dir == str(inbox / where)


@pytest.mark.parametrize("linked", ["not yet", "linked", "moved"])
def test_a_file_is_moved_once_after_the_process_that_moved_it_died(
    ledger: Ledger, inbox: Path, linked: str
) -> None:
    file = claimed(ledger, inbox)
    accepted = submitted(ledger, file, inbox)
    assert accepted is not None
    (taken,) = records_of(ledger, schema.dropped_file)
    done = inbox / "done"
    watch.make_folder(done)
    with ledger.read() as tx:
        found = dropped_files.find(tx, taken.id)
    assert found is not None
    assert watch.choose_target(ledger, found, done, DroppedFileState.TAKEN) is not None
    if linked != "not yet":
        os.link(file.path, done / "a.csv")
    if linked == "moved":
        Path(file.path).unlink()

    archived(ledger, ended(ledger, accepted.job_id))

    assert (names(inbox / "processing"), names(done)) == ([], ["a.csv"])
    assert records_of(ledger, schema.dropped_file)[0].state == "ended"


def test_a_move_that_another_process_begins_at_the_same_moment_is_finished_before_reports_are_written(
    ledger: Ledger, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted = submitted(ledger, claimed(ledger, inbox), inbox)
    assert accepted is not None
    job, listed = ended(ledger, accepted.job_id), os.listdir

    def begin_move(folder: Path) -> list[str]:
        monkeypatch.undo()
        with ledger.write() as tx:
            (dropped,) = dropped_files.files_of_job(tx, job.id)
            dropped_files.start_move(tx, dropped, DroppedFileState.TAKEN, str(inbox / "done" / "a.csv"))
        return listed(folder)

    monkeypatch.setattr(os, "listdir", begin_move)

    assert archived(ledger, job).report_dir == str(inbox / "done")
    assert (names(inbox / "processing"), names(inbox / "done")) == ([], ["a.csv"])


def test_no_file_is_ever_overwritten(ledger: Ledger, inbox: Path) -> None:
    for _ in range(2):
        accepted = submitted(ledger, claimed(ledger, inbox), inbox)
        assert accepted is not None
        (inbox / "done").mkdir(exist_ok=True)
        if not names(inbox / "done"):
            (inbox / "done" / "a.csv").write_text("another one's")
        job = archived(ledger, ended(ledger, accepted.job_id))

    assert names(inbox / "done") == ["a-2.csv", "a-3.csv", "a.csv"]
    assert (inbox / "done" / "a.csv").read_text() == "another one's"
    assert job.roster == "a-3.csv"


def test_another_name_is_chosen_when_another_file_has_taken_the_first_one(ledger: Ledger, inbox: Path) -> None:
    accepted = submitted(ledger, claimed(ledger, inbox), inbox)
    assert accepted is not None
    (taken,) = records_of(ledger, schema.dropped_file)
    watch.make_folder(inbox / "done")
    with ledger.read() as tx:
        found = dropped_files.find(tx, taken.id)
    assert found is not None
    watch.choose_target(ledger, found, inbox / "done", DroppedFileState.TAKEN)
    (inbox / "done" / "a.csv").write_text("another one's")

    archived(ledger, ended(ledger, accepted.job_id))

    assert names(inbox / "done") == ["a-2.csv", "a.csv"]


def test_files_on_a_share_that_is_gone_are_archived_when_it_is_back(ledger: Ledger, inbox: Path) -> None:
    accepted = submitted(ledger, claimed(ledger, inbox), inbox)
    assert accepted is not None
    inbox.rename(away := inbox.with_name("away"))
    job = archived(ledger, ended(ledger, accepted.job_id))
    assert not inbox.exists()
    (inbox / "processing").mkdir(parents=True)
    archived(ledger, job)
    shutil.rmtree(inbox)
    away.rename(inbox)

    archived(ledger, job)

    assert (inbox / "done" / "a.csv").read_text() == ROSTER


def test_the_report_says_when_a_file_grew_while_its_job_was_running(ledger: Ledger, inbox: Path) -> None:
    file = claimed(ledger, inbox)
    accepted = submitted(ledger, file, inbox)
    assert accepted is not None
    with Path(file.path).open("a", encoding="utf-8") as stream:
        stream.write("ben@example.org,Ben,Ó,58\n")

    job = archived(ledger, ended(ledger, accepted.job_id))

    assert "the later part was not read" in job.notes[-1]


def test_subfolders_have_the_permissions_of_the_drop_folder(ledger: Ledger, inbox: Path) -> None:
    inbox.chmod(0o2770)
    claimed(ledger, inbox)

    assert (inbox / "processing").stat().st_mode & 0o7777 == 0o2770


def test_nothing_is_overwritten_without_hard_links(tmp_path: Path) -> None:
    source, target = tmp_path / "a.csv", tmp_path / "b.csv"
    source.write_text("mine")
    target.write_text("another one's")

    assert not archive._move_without_links(source, target)
    assert target.read_text() == "another one's"
    target.unlink()
    assert archive._move_without_links(source, target)
    assert archive._move_without_links(source, target)
    assert target.read_text() == "mine"
