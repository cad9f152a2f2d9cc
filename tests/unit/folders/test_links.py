"""Links in drop folders: nothing is read through them, and nothing is moved or written to where they lead."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders import open_ledger
from worker.folders import message_file, watch
from worker.folders.archive import FileLocation
from worker.ledger import dropped_files


@pytest.fixture
def ledger(tmp_path):
    ledger = open_ledger(tmp_path)
    yield ledger
    ledger.close()


@pytest.fixture
def inbox(tmp_path):
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


def dropped(ledger, file):
    status = file.lstat()
    with ledger.write() as tx:
        return dropped_files.add(
            tx, "hr", file.name, path=str(file), size=status.st_size, modified_at=status.st_mtime
        )


def test_a_link_in_the_place_of_a_subfolder_is_refused_and_the_file_stays(ledger, inbox, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (inbox / "processing").symlink_to(elsewhere)
    roster = inbox / "roster.csv"
    roster.write_text("email\n")

    with pytest.raises(watch.LinkedFolder, match="processing/ is a link"):
        watch.claim_file(ledger, dropped(ledger, roster))

    assert roster.exists()
    assert list(elsewhere.iterdir()) == []


def test_a_file_that_became_a_link_after_it_was_found_is_not_imported(ledger, inbox, tmp_path):
    secret = tmp_path / "secret.csv"
    secret.write_text("email\n")
    roster = inbox / "roster.csv"
    roster.write_text("email\n")
    found = dropped(ledger, roster)
    roster.unlink()
    roster.symlink_to(secret)
    claimed = watch.claim_file(ledger, found)
    assert claimed is not None

    with pytest.raises(Exception, match="has become a link"):
        watch.submit_claimed(ledger, claimed, 0.0, lambda *_: pytest.fail("it was read"))


def test_nothing_is_written_into_a_linked_folder(inbox, tmp_path):
    (inbox / "done").symlink_to(tmp_path)

    assert FileLocation(folder=inbox / "done", name="roster.csv", is_archived=True).is_unreachable


def test_a_message_is_not_written_through_a_link(tmp_path):
    (tmp_path / "roster.message.txt").symlink_to(tmp_path / "elsewhere.txt")

    assert not message_file._may_write(Path(tmp_path / "roster.message.txt"))
