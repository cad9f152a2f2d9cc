"""A report stands whole or not at all."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

import pytest

from worker import errors
from worker.model import RowStatus
from worker.reports.lines import REPORT_COLUMNS
from worker.reports.write import write_reports

#: Writes reports of rows that compress badly, with less and less room per file; prints what went well.
SMALLER_AND_SMALLER = """
import random, resource, signal, sys
from pathlib import Path
from worker import errors
from worker.model import JobState, RowStatus
from worker.reports.lines import ReportLine, Summary
from worker.reports.write import write_reports

folder = Path(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
letters = random.Random(1)
lines = [
    ReportLine(cells=(letters.randbytes(40).hex(),), row=row, status=RowStatus.REJECTED) for row in range(2, 60)
]
summary = Summary(
    job=7, roster="r.csv", connection="c", state=JobState.FAILED, total=len(lines),
    by_status={RowStatus.REJECTED: len(lines)},
)
before = {path: path.read_bytes() for path in folder.iterdir()}
for kilobytes in (0, 2, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 20, 30, 64, 100):
    resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1000, resource.RLIM_INFINITY))
    try:
        write_reports(folder, "r.csv", ["h"], lambda: iter(lines), summary)
        print(kilobytes, "written")
        break
    except errors.RosterError as error:
        print(kilobytes, error)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
"""


def test_a_full_disk_keeps_the_old_reports_and_gives_one_message(tmp_path):
    old = ["r.results.csv", "r.results.xlsx", "r.failed.csv", "r.summary.json"]
    for name in old:
        (tmp_path / name).write_text("old")

    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", SMALLER_AND_SMALLER, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    # Not a word on standard error: no second traceback from an archive that is thrown away half written.
    assert (done.returncode, done.stderr) == (0, "")
    *refused, last = done.stdout.splitlines()
    assert last.endswith("written")
    assert len(refused) > 5
    for line in refused:
        assert re.fullmatch(
            r"\d+ The reports could not be written to /.*: File too large\. The outcomes are safe in the ledger; "
            r"free some space and run `roster report 7`\.",
            line,
        )
    assert sorted(os.listdir(tmp_path)) == sorted(old)  # noqa: PTH208


def test_a_folder_that_cannot_be_created_is_reported(written, a_line, tmp_path):
    (tmp_path / "taken").write_text("a file")

    with pytest.raises(
        errors.RosterError, match=r"could not be written to .*taken: File exists\. .* `roster report 7`"
    ):
        written(a_line("a", "b"), folder=tmp_path / "taken")


def test_rows_that_cannot_be_read_to_the_end_leave_nothing_behind(written, a_line, a_summary, tmp_path):
    written(a_line("a", "b"))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    reads = []

    def lines():
        reads.append("once more")
        yield a_line("c", "d")
        if len(reads) == 2:
            raise errors.LedgerError("The ledger went away.")

    summary = a_summary(total=1, by_status={RowStatus.REGISTERED: 1})
    with pytest.raises(errors.LedgerError, match="went away"):
        write_reports(tmp_path, summary.roster, ("email", "course_id"), lines, summary)

    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_a_killed_process_left_is_removed_after_a_day(written, a_line, tmp_path):
    old, new = tmp_path / ".roster-old", tmp_path / ".roster-new"
    for left in (old, new):
        left.mkdir()
        (left / "x.results.csv").write_text("half")
    two_days_ago = time.time() - 2 * 86_400
    os.utime(old, (two_days_ago, two_days_ago))

    written(a_line("a", "b"))

    assert not old.exists()
    assert new.exists()


def test_an_earlier_report_of_the_same_name_is_replaced(written, a_line):
    written(a_line("a", "b", status=RowStatus.REJECTED), a_line("c", "d"))

    report = written(a_line("e", "f", status=RowStatus.REJECTED))

    assert [row[0] for row in report.table()] == ["email", "e"]
    assert [row[0] for row in report.table("failed.csv")] == ["email", "e"]
    assert report.sheet()[1][0] == "e"
    assert report.table()[0][-len(REPORT_COLUMNS) :] == list(REPORT_COLUMNS)
