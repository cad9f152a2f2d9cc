"""`-` among the files of a command."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from worker.cli import standard_input
from worker.errors import UsageError


class Terminal(io.StringIO):
    """A standard input at which a person types."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stdin", [Terminal(), None], ids=["a terminal", "closed"])
def test_without_anything_sent_to_it_the_message_says_what_to_do(monkeypatch, stdin):
    monkeypatch.setattr("sys.stdin", stdin)

    with (
        pytest.raises(UsageError, match=r"write `roster run - < roster.csv`"),
        standard_input.readable([Path("-")], 1),
    ):
        pass


def test_files_without_it_are_left_as_they_are(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)

    with standard_input.readable([Path("a.csv")], 1) as files:
        assert files == [Path("a.csv")]
