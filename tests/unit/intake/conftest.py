"""What the tests of intake have in common: files written for one test, opened or read in one step."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from worker.intake.headers import match_headings
from worker.intake.roster_file import RosterFile, open_roster
from worker.intake.rows import ParsedRow, parse_rows
from worker.model import RowRules

TAHDAH = RowRules(needs_behavior=True, needs_legal_entity=True, defaults={"legal_entity_id": "42", "behavior": "1"})

OpenBytes = Callable[..., RosterFile]
ReadText = Callable[..., list[ParsedRow]]


@pytest.fixture
def open_bytes(tmp_path: Path) -> OpenBytes:
    def write_and_open(content: bytes, name: str = "roster.csv", **options: str) -> RosterFile:
        path = tmp_path / "stored-copy"
        path.write_bytes(content)
        return open_roster(path, name=name, **options)

    return write_and_open


@pytest.fixture
def read(open_bytes: OpenBytes) -> ReadText:
    def read_text(text: str, *, rules: RowRules = TAHDAH, **options) -> list[ParsedRow]:
        file = open_bytes(text.encode())
        return list(parse_rows(file, match_headings(file.headings), rules=rules, **options))

    return read_text


@pytest.fixture
def rewrite() -> Callable[[bytes, str, Callable[[bytes], bytes]], bytes]:
    """Change one part of a workbook."""

    def change(workbook: bytes, part: str, edit: Callable[[bytes], bytes]) -> bytes:
        changed = io.BytesIO()
        with (
            zipfile.ZipFile(io.BytesIO(workbook)) as old,
            zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as new,
        ):
            for name in old.namelist():
                new.writestr(name, edit(old.read(name)) if name == part else old.read(name))
        return changed.getvalue()

    return change
