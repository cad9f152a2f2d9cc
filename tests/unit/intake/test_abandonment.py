"""What is read for a client ends when the client leaves."""

from __future__ import annotations

import threading

import pytest

from worker.errors import Abandoned
from worker.intake.abandonment import ending_when
from worker.intake.csv_files.child import open_csv_in_child
from worker.intake.excel.ipc import ROWS_PER_FRAME


def test_rows_that_nobody_waits_for_are_not_read_further(tmp_path):
    path = tmp_path / "roster.csv"
    path.write_text("email\n" + "ana@example.com\n" * 2 * ROWS_PER_FRAME)
    left = threading.Event()
    with ending_when(left):
        rows = open_csv_in_child(path, name=path.name).records()
        next(rows)
        left.set()

        with pytest.raises(Abandoned):
            list(rows)
        with pytest.raises(Abandoned):
            open_csv_in_child(path, name=path.name)

    assert len(list(open_csv_in_child(path, name=path.name).records())) == 2 * ROWS_PER_FRAME + 1
