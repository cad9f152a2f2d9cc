"""Processor time and memory for reading a roster of 100,000 rows, beside plain openpyxl and plain csv.

Each measurement is a process of its own, its children included; the ways of reading take turns, several rounds,
and medians are shown. `python -m tests.benchmarks.reading [rounds] [name=python …]` measures Roster with other
interpreters too, in which another version of Roster is installed.
"""

from __future__ import annotations

import csv
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import xlsxwriter

ROWS, ROUNDS = 100_000, 5
HEADINGS = ("external_id", "email", "first_name", "last_name", "city", "course_id", "score")
_ROSTER = """\
import sys
from pathlib import Path
from worker.intake.headers import match_headings
from worker.intake.roster_file import open_roster
path = Path(sys.argv[1])
file = open_roster(path, name=path.name)
match_headings(file.headings)
print(sum(1 for _ in file.records()))
"""
_OPENPYXL = """\
import sys
from openpyxl import load_workbook
print(sum(1 for row in load_workbook(sys.argv[1], read_only=True).active.iter_rows(values_only=True)) - 1)
"""
_CSV = """\
import csv, sys
print(sum(1 for row in csv.reader(open(sys.argv[1], newline="", encoding="utf-8"))) - 1)
"""


def rows() -> list[tuple[str | int | float, ...]]:
    return [
        (f"A-{at}", f"person{at}@example.com", f"First{at}", f"Last{at % 5000}", "Galway", 58, at % 100 + 0.5)
        for at in range(ROWS)
    ]


def write_files(folder: Path) -> dict[str, Path]:
    """Write the roster as CSV, and as XLSX without and with a number format of ids."""
    files = {
        "CSV": folder / "roster.csv",
        "XLSX": folder / "plain.xlsx",
        "XLSX, formatted ids": folder / "ids.xlsx",
    }
    with files["CSV"].open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADINGS, *rows()])
    for name, path in list(files.items())[1:]:
        book = xlsxwriter.Workbook(path, {"constant_memory": True})
        sheet = book.add_worksheet()
        zeros = book.add_format({"num_format": "[$-409]00000000"})
        sheet.write_row(0, 0, HEADINGS)
        for at, row in enumerate(rows(), start=1):
            sheet.write_row(at, 1, row[1:])
            sheet.write(at, 0, *((at, zeros) if name != "XLSX" else (row[0],)))
        book.close()
    return files


def measure(python: str, code: str, path: Path) -> tuple[float, float]:
    """Return the processor seconds and the largest memory (MB) of a process and its children."""
    script = f"{code}\nimport resource\nfor who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):\n"
    script += (
        "    used = resource.getrusage(who)\n    print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)\n"
    )
    environment = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(
        [python, "-c", script, str(path)],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
        cwd=path.parent,
    )
    count, *used = done.stdout.split()
    assert int(count) == ROWS, done.stdout
    numbers = list(map(float, used))
    return numbers[0] + numbers[2], max(numbers[1], numbers[3])


def main(rounds: int = ROUNDS, versions: dict[str, str] | None = None) -> None:
    """Print the medians."""
    pythons = {"Roster": sys.executable, **(versions or {})}
    with tempfile.TemporaryDirectory() as name:
        for kind, path in write_files(Path(name)).items():
            ways = {way: (python, _ROSTER) for way, python in pythons.items()}
            plain = ("csv", _CSV) if kind == "CSV" else ("openpyxl", _OPENPYXL)
            ways[plain[0]] = (sys.executable, plain[1])
            results: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
            for _ in range(rounds):
                for way, (python, code) in ways.items():
                    results[way].append(measure(python, code, path))
            for way, used in results.items():
                seconds, memory = (statistics.median(values) for values in zip(*used, strict=True))
                print(f"{kind:<20} {way:<10} {seconds:6.2f} s, {memory:6.0f} MB")  # noqa: T201


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:] if "=" not in word]
    main(*numbers, versions=dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word))
