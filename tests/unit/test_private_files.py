"""Files for their owner alone, and scratch folders that a dead process cannot leave for good."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from worker import private_files
from worker.errors import RosterError
from worker.ledger.database import open_engine

LEAVE_ONE = """
import sys, os, signal
from pathlib import Path
from worker.private_files import scratch_folder, use_scratch_below
use_scratch_below(Path(sys.argv[1]))
with scratch_folder() as folder:
    (folder / "copy.db").write_text("Wilhelmina")
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=[0o000, 0o022, 0o777])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setattr(private_files, "_root", None)
    private_files.use_scratch_below(tmp_path / "files")
    return tmp_path / "files"


@pytest.fixture
def another_process(files):
    """A process that is using a scratch folder."""
    command = [sys.executable, "-c", LEAVE_ONE, str(files)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def rights(path):
    return stat.S_IMODE(path.stat().st_mode)


def folders_in(files):
    return [path for path in (files / "tmp").iterdir() if path.is_dir()]


def test_folders_and_files_are_made_for_their_owner_alone_whatever_the_umask(umask, tmp_path):
    folder = private_files.make_private_folder(tmp_path / "a" / "b")
    with private_files.create_private_file(folder / "roster.csv") as file:
        file.write(b"x")

    assert [rights(path) for path in (folder.parent, folder, folder / "roster.csv")] == [0o700, 0o700, 0o600]


def test_the_rights_of_others_are_taken_away_and_links_are_not_followed(tmp_path):
    wide, target = tmp_path / "wide", tmp_path / "target"
    for file in (wide, target):
        file.touch()
        file.chmod(0o664)
    (tmp_path / "link").symlink_to(target)

    private_files.make_tree_private(tmp_path / "wide")
    private_files.make_private(tmp_path / "wide")
    private_files.make_private(tmp_path / "link")

    assert (rights(wide), rights(target)) == (0o600, 0o664)


def test_a_scratch_folder_is_below_files_and_gone_afterwards(umask, files):
    with private_files.scratch_folder() as folder:
        assert folder.parent == files / "tmp"
        assert rights(folder) == 0o700

    assert folders_in(files) == []


def test_a_folder_in_use_by_a_live_process_stays(files, another_process):
    assert private_files.clear_scratch(files) == 0
    assert len(folders_in(files)) == 1


def test_what_a_killed_process_left_is_removed_by_the_next(files, another_process):
    another_process.send_signal(signal.SIGKILL)
    another_process.wait()
    assert len(folders_in(files)) == 1

    assert private_files.clear_scratch(files) == 1
    assert folders_in(files) == []


def test_a_file_is_readable_by_others_only_if_its_folders_let_them_pass():
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        secret = folder / "token"
        secret.touch()
        secret.chmod(0o644)

        assert private_files.readable_by_others(secret)
        folder.chmod(0o700)
        assert not private_files.readable_by_others(secret)
        folder.chmod(0o755)
        secret.chmod(0o600)
        assert not private_files.readable_by_others(secret)


def test_a_folder_that_everybody_shares_keeps_its_rights(tmp_path):
    tmp_path.chmod(0o1777)

    private_files.make_private(tmp_path)

    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o1777


def test_a_folder_where_the_ledger_should_be_keeps_its_rights(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(0o755)

    with pytest.raises(RosterError):
        open_engine(f"sqlite:///{folder}")

    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
