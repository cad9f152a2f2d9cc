"""What Roster writes with personal data is for its owner alone, and nothing of it is in the system's folder."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest


@pytest.fixture(params=[0o000, 0o022])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def wide_ones(*paths):
    """Return what others have any right on."""
    return [path for path in paths if stat.S_IMODE(path.stat().st_mode) & 0o077]


def below(folder):
    return [path for path in folder.rglob("*") if "reports" not in path.relative_to(folder).parts]


@pytest.fixture
def open_folder():
    """A folder that every account of the machine may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.console_script
def test_a_new_ledger_and_stored_rosters_are_for_their_owner_alone(sandbox, office, umask):
    terminal = office(sandbox())
    (terminal.folder / "roster.db").unlink()
    terminal.people("roster.csv", 2)
    terminal.run("roster.csv")

    files = terminal.folder / "roster-files"
    assert wide_ones(*terminal.folder.glob("roster.db*"), files, *below(files)) == []
    report = terminal.folder / "reports" / "roster.results.csv"
    assert stat.S_IMODE(report.stat().st_mode) == 0o666 & ~umask


def test_the_side_files_of_an_open_ledger_are_too(tmp_path, umask):
    from worker.ledger.database import open_engine  # noqa: PLC0415
    from worker.ledger.transactions import Ledger  # noqa: PLC0415

    ledger = Ledger(open_engine(f"sqlite:///{tmp_path / 'new.db'}"))
    with ledger.write():
        files = sorted(path.name for path in tmp_path.glob("new.db*"))
        assert wide_ones(*tmp_path.glob("new.db*")) == []
    ledger.close()

    assert files == ["new.db", "new.db-shm", "new.db-wal"]


@pytest.mark.parametrize("address", ["sqlite:///{}", "sqlite:///file:{}?uri=true"])
def test_a_ledger_with_wide_rights_is_tightened_when_it_is_opened(tmp_path, address):
    from worker.ledger.database import open_engine  # noqa: PLC0415

    path = tmp_path / "old.db"
    open_engine(f"sqlite:///{path}").dispose()
    for each in (path, tmp_path / "old.db-journal"):
        each.touch()
        each.chmod(0o644)

    open_engine(address.format(path)).dispose()

    assert wide_ones(*tmp_path.glob("old.db*")) == []


def test_uploads_and_drafts_of_an_earlier_version_are_tightened_by_serve(office, sandbox, wait_until):
    terminal = office(sandbox())
    files = terminal.folder / "roster-files"
    for name in ("uploads/a.csv", "drafts/abc/roster.csv", f"{'0' * 32}.csv"):
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        (files / name).touch()
    for path in (files, *files.rglob("*")):
        path.chmod(0o777)

    running = terminal.start("serve", "--port", "0")
    wait_until(lambda: not wide_ones(files, *below(files)), "the tightening")
    running.kill()


@pytest.mark.console_script
def test_a_dry_run_copies_nothing_to_the_systems_folder(sandbox, office):
    terminal = office(sandbox())
    terminal.people("roster.csv", 2)
    nowhere = terminal.folder / "nowhere"
    terminal.environment["TMPDIR"] = str(nowhere)

    assert terminal.type("check", "roster.csv").code == 0
    assert not nowhere.exists()
    assert [path for path in (terminal.folder / "roster-files" / "tmp").iterdir() if path.is_dir()] == []


def test_doctor_warns_of_what_others_can_read(sandbox, office, open_folder):
    lms = sandbox()
    terminal = office(lms)
    secret, config = open_folder / "token", open_folder / "roster.toml"
    secret.write_text("sandbox-token\n")
    terminal.connect(lms.url, "north", token=f"file:{secret}")

    told = terminal.type("doctor")
    assert told.code == 0
    assert f"chmod 600 {secret}" in told.out

    terminal.connect(lms.url, "north", token="sandbox-token")
    shutil.copyfile(terminal.folder / "roster.toml", config)
    told = terminal.type("--config", config, "doctor").out
    assert f"chmod 600 {config}" in told
    assert "connections.north.token" in told
    assert "sandbox-token" not in told

    config.chmod(0o600)
    assert "chmod" not in terminal.type("--config", config, "doctor").out
