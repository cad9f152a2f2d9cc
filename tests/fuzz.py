"""Feed made and damaged rosters to the reader: no uncaught exception, and no id that is silently another one.

`python -m tests.fuzz SECONDS [NUMBER]`, or `make fuzz`. Each input has a number, and is made from it alone, so that
its failure can be repeated. Made files are compared with the texts that they were made from, damaged ones with what
the csv module or openpyxl reads.
"""

from __future__ import annotations

import csv
import io
import random
import re
import sys
import tempfile
import time
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from openpyxl import Workbook, load_workbook

from tests.corpus.made import FILES
from tests.corpus.reading import KMI
from worker import lms
from worker.errors import NothingSent
from worker.intake.headers import match_headings
from worker.intake.roster_file import RosterFile, open_roster
from worker.intake.rows import parse_rows

CORPUS = Path(__file__).parent / "corpus" / "files"
RULES = lms.rules_of(KMI)
#: One of so many inputs is a workbook, which takes a process of its own.
WORKBOOK_EVERY = 50
PIECES = (
    *(
        "A-1",
        "00123",
        "12",
        "3E10",
        "1.5",
        "1,000",
        "58.0",
        "'007",
        '="0042"',
        "N/A",
        "é",
        "Ż-3",
        "ß",
        "\u200b",
        "\u200d",
    ),
    *(
        "=1",
        "+4",
        "-5",
        "@x",
        ";",
        "|",
        "\t",
        " ",
        "\u00a0",
        '"',
        "'",
        ",",
        "\n",
        "\r\n",
        "\ufeff",
        "😀",
        "\u202e",
        "#N/A",
    ),
    *(
        "TRUE",
        "1e5",
        "0x1F",
        "\uff12",
        "\u0661",
        "\u0660\u0660\u0667",
        "1/2",
        "12:30",
        "1990-05-03",
        "&amp;",
        "\x0b",
        "\x1a",
        "\x85",
    ),
)
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-32")
HEADINGS = (("email", "external_id"), ("External ID", "E-mail", "First name"), ("sourcedId", "Note", "Mail", "zip"))
#: Of these a person sees that they are no ids.
PLACEHOLDERS = {"N/A", "NULL"}
IDS = {"external_id", "External ID", "sourcedId"}
MAILS = {"email", "E-mail", "Mail"}
UNSEEN = re.compile(
    "[\u00ad\u200b-\u200f\u2060-\u2064\u202a-\u202e\u2066-\u2069\ufeff\ufe00-\ufe0f\u180e\u3164\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]"
)


class Fault(AssertionError):
    """An input that the reader got wrong; the message has its number."""


def visible(text: str) -> str:
    """Return an id as a person reads it, whatever a reader may rightly take off or put in one form."""
    shown = " ".join(UNSEEN.sub("", unicodedata.normalize("NFC", text)).split()).strip("' ")
    wrapped = re.fullmatch(r'="(.*)"', shown)
    shown = wrapped[1].replace('""', '"').strip("' ") if wrapped else shown
    return re.sub(r"^([0-9]+)\.0+$", r"\1", shown)


def make_table(chance: random.Random) -> list[list[str]]:
    """Return headings and rows of nasty cells."""
    headings = chance.choice(HEADINGS)
    return [
        list(headings),
        *(
            [
                f"p{number}@x.example"
                if heading in MAILS
                else "".join(chance.choices(PIECES, k=chance.randint(0, 4)))
                for heading in headings
            ]
            for number in range(chance.randint(1, 5))
        ),
    ]


def write_csv(chance: random.Random, table: list[list[str]]) -> bytes:
    """Return a table as a CSV of some dialect and encoding."""
    file = io.StringIO(newline="")
    quoting = chance.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    end = chance.choice(("\n", "\r\n"))
    csv.writer(file, delimiter=chance.choice(",;\t|"), quoting=quoting, lineterminator=end).writerows(table)
    return file.getvalue().encode(chance.choice(ENCODINGS))


def write_workbook(table: list[list[str]]) -> bytes:
    """Return a table as a workbook of texts."""
    book, file = Workbook(), io.BytesIO()
    for number, row in enumerate(table, start=1):
        for column, cell in enumerate(row, start=1):
            shown = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "", cell)
            row[column - 1] = shown
            book.active.cell(number, column).value = shown or None
            book.active.cell(number, column).data_type = "s"
    book.save(file)
    return file.getvalue()


def damage(chance: random.Random, content: bytes) -> bytes:
    """Return a file with some bytes changed, left out, doubled or put in."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        at = chance.randint(0, len(changed))
        piece = chance.choice(PIECES).encode() * chance.choice((1, 1, 1, 50))
        end = at + chance.choice((0, 1, 1, 8))
        changed[at:end] = chance.choice((piece, bytes([chance.randrange(256)]), b"", bytes(changed[at : at + 40])))
    return bytes(changed)


def damage_part(chance: random.Random, content: bytes) -> bytes:
    """Return a workbook one of whose parts is damaged."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(changed, "w") as new:
        wanted = chance.choice(old.namelist())
        for name in old.namelist():
            new.writestr(name, damage(chance, old.read(name)) if name == wanted else old.read(name))
    return changed.getvalue()


def read(path: Path) -> tuple[RosterFile, list[tuple[int, str | None]]] | None:
    """Return an open roster, and the rows that are valid with their external ids; None when it is refused."""
    try:
        file = open_roster(path, name="roster.csv")
        parsed = list(parse_rows(file, match_headings(file.headings), rules=RULES, course="58"))
    except NothingSent as refused:
        if not str(refused).strip() or "Traceback" in str(refused):
            raise Fault("a refusal without words") from None
        return None
    return file, [(each.raw.row, each.row.candidate.external_id) for each in parsed if each.row]


def check_ids(path: Path, table: list[list[str]]) -> str:
    """Compare the ids of a made file with the texts that it was made from."""
    result = read(path)
    if result is None:
        return "refused"
    column = next(at for at, heading in enumerate(table[0]) if heading in IDS)
    compare_ids(result[1], {number: row[column] for number, row in enumerate(table, start=1)})
    return "compared" if any(external_id for _, external_id in result[1]) else "read"


def compare_ids(rows: list[tuple[int, str | None]], cells: dict[int, str]) -> None:
    """Raise Fault when the external id of a row is not what its cell shows, or was lost."""
    for number, external_id in rows:
        cell = cells.get(number, "")
        if external_id is not None and visible(external_id) != visible(cell):
            raise Fault(f"row {number}: {cell!r} was read as {external_id!r}")
        is_id = re.search(r"[A-Z0-9]{2}", visible(cell)) and visible(cell) not in PLACEHOLDERS
        if external_id is None and is_id:
            raise Fault(f"row {number}: the id {cell!r} was lost")


def check_damaged_csv(path: Path) -> str:
    """Compare the cells of a damaged file that has no quotation marks with what the csv module reads."""
    result = read(path)
    if result is None:
        return "refused"
    file, _ = result
    encoding, separator = re.match(r"CSV: (\S+).*, (.*)-separated", file.notes[0]).groups()  # type: ignore[union-attr]
    delimiter = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}.get(separator, separator.strip('"'))
    text = path.read_bytes().decode(encoding)
    is_report = any(visible(heading) == "_row" for heading in file.headings)
    if is_report or '"' in text or "sep=" in text.lower() or "\x1a" in text:
        return "read"
    seen = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    for row in file.rows():
        expected = seen[row.row - 1]
        if list(filter(visible, row.cells)) != list(filter(visible, expected)):
            raise Fault(f"row {row.row}: {expected} was read as {row.cells}")
    return "compared"


def check_damaged_workbook(path: Path) -> str:
    """Compare the ids of a damaged workbook with what openpyxl reads, where it can."""
    result = read(path)
    if result is None:
        return "refused"
    file, rows = result
    try:
        sheet = load_workbook(path)[file.sheet]
    except Exception:  # noqa: BLE001 - openpyxl gives up on many damaged workbooks
        return "read"
    column = next((at for at, heading in enumerate(file.headings, start=1) if heading in IDS), None)
    for number, external_id in rows if column else ():
        value = sheet.cell(number, column).value
        if isinstance(value, str) and external_id and visible(external_id) != visible(value):
            raise Fault(f"row {number}: {value!r} was read as {external_id!r}")
    return "compared"


def try_input(number: int, folder: Path) -> str:
    """Make the input of a number and read it; return what came of it. Raises Fault, or what the reader raised."""
    chance = random.Random(number)  # noqa: S311 - a number must always give the same input
    path = folder / "input"
    table = make_table(chance)
    if number % WORKBOOK_EVERY == 0:
        content = write_workbook(table)
        is_whole = chance.random() < 0.5
        path.write_bytes(content if is_whole else damage_part(chance, content))
        return "workbook " + (check_ids(path, table) if is_whole else check_damaged_workbook(path))
    if chance.random() < 0.4:
        path.write_bytes(write_csv(chance, table))
        return "text " + check_ids(path, table)
    whole = [name for name in FILES if name.endswith(".csv")]
    base = FILES[chance.choice(whole)] if chance.random() < 0.5 else write_csv(chance, table)
    path.write_bytes(damage(chance, base))
    if path.read_bytes().startswith((b"PK", b"\xd0\xcf")):
        return "text skipped"
    return "damaged text " + check_damaged_csv(path)


def run(numbers: Iterator[int], until: float) -> tuple[Counter[str], list[str]]:
    """Try inputs until a time (of the monotonic clock); return how many had which outcome, and the failures."""
    outcomes: Counter[str] = Counter()
    failures = []
    with tempfile.TemporaryDirectory(prefix="roster-fuzz-") as folder:
        for number in numbers:
            if time.monotonic() > until:
                break
            try:
                outcomes[try_input(number, Path(folder))] += 1
            except Exception as error:  # noqa: BLE001 - every exception is a finding
                failures.append(f"input {number}: {type(error).__name__}: {error}")
    return outcomes, failures


def main() -> None:
    """Fuzz for the seconds of the command line, and exit with 1 when an input failed."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3_600.0
    first = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns() % 10**12
    print(f"From input {first}, for {seconds:g} seconds")  # noqa: T201
    outcomes, failures = run(iter(range(first, 10**15)), time.monotonic() + seconds)
    print(f"{outcomes.total() + len(failures)} inputs: {dict(outcomes)}; {len(failures)} failures")  # noqa: T201
    print(*failures[:20], sep="\n")  # noqa: T201
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
