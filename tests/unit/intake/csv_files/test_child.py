"""A text file read in a process of its own: the same rows and the same errors as in this one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from worker.errors import RosterError, UncertainEncoding, UnreadableRoster, UsageError
from worker.intake.excel import ipc
from worker.intake.roster_file import open_roster

FILES = {
    "plain": b'email,first_name\na@x.example,Ann\n\n , \nb@x.example,"B\no"\n',
    "sep line": b"sep=;\r\nemail;first_name\r\na@x.example;Zo\xc3\xab\r\n",
    "utf-16": "email\tfirst_name\na@x.example\tZoë\n".encode("utf-16"),
    "uncertain": "email,first_name\na@x.example,Zoë\n".encode("mac-roman"),
    "broken quoting": b'email,first_name\na@x.example,"Ann\n',
    "binary": bytes(range(256)) * 4,
    "nul": b"email,b\na@x.example,\0\n",
    "no rows": b"\n\n",
    "too wide": b"email" + b"," * 20_000 + b"\n",
}


def read(path: Path, **options):
    try:
        file = open_roster(path, name="Zoë's list.csv", **options)
        return file.headings, file.heading_row, file.notes, list(file.rows())
    except RosterError as error:
        return type(error), str(error), getattr(error, "readings", None)


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_another_process_reads_the_same_as_this_one(content, tmp_path):
    path = tmp_path / "stored-copy"
    path.write_bytes(content)
    assert read(path, in_child=True) == read(path)


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "klingon"])
def test_another_process_reads_the_encoding_that_was_given(encoding, tmp_path):
    path = tmp_path / "stored-copy"
    path.write_bytes(FILES["uncertain"])
    assert read(path, in_child=True, encoding=encoding) == read(path, encoding=encoding)


def test_the_errors_are_of_their_kind(tmp_path):
    path = tmp_path / "stored-copy"
    path.write_bytes(FILES["uncertain"])
    with pytest.raises(UncertainEncoding) as asked:
        open_roster(path, name="r.csv", in_child=True)
    assert "Zoë" in str(asked.value.readings)
    with pytest.raises(UsageError):
        open_roster(path, name="r.csv", in_child=True, encoding="punycode")


def test_a_reader_that_dies_is_a_plain_refusal(tmp_path, monkeypatch):
    path = tmp_path / "stored-copy"
    path.write_bytes(FILES["plain"])
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UnreadableRoster, match=r"r.csv: the process that reads files ended without a response"):
        open_roster(path, name="r.csv", in_child=True)


def test_large_rows_are_passed_on_a_few_at_a_time(tmp_path):
    path = tmp_path / "spool"
    rows = [ipc.SpoolRow(number, ("x" * 100_000,)) for number in range(100)]
    ipc.write_rows(os.open(path, os.O_WRONLY | os.O_CREAT), rows)
    with path.open("rb") as spool:
        assert list(ipc.read_rows(spool.fileno())) == rows
    assert max(map(len, ipc._frames(rows))) < 15
