"""Each nasty roster is read as a person sees it in a spreadsheet, or refused: `expected.toml` says which."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders import open_ledger
from tests.corpus.made import FILES
from tests.corpus.reading import read
from worker.intake.options import Options
from worker.ledger.transactions import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("forked_readers")

HERE = Path(__file__).parent
EXPECTED: dict[str, dict[str, Any]] = tomllib.loads((HERE / "expected.toml").read_text("utf-8"))
#: What no entry has to say.
COURSE = "58"


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    opened = open_ledger(tmp_path_factory.mktemp("corpus"))
    yield opened
    opened.close()


@pytest.mark.parametrize("name", EXPECTED)
def test_a_nasty_roster_is_read_as_a_person_sees_it_or_refused(name: str, ledger: Ledger, tmp_path: Path) -> None:
    expected = EXPECTED[name]
    path = HERE / "files" / expected.get("file", name)
    if path.name in FILES:
        path = tmp_path / path.name
        path.write_bytes(FILES[path.name])

    outcome = read(ledger, path, Options(**{"course": COURSE, **expected.get("options", {})}))

    assert outcome.exit == expected["exit"], outcome
    if "message" in expected:
        assert expected["message"] in outcome.message
    codes = {str(row): code for row, code in outcome.rows.items() if code}
    assert codes == expected.get("codes", {})
    sent = {
        str(row): {column: value for column, value in values.items() if (column, value) != ("course", COURSE)}
        for row, values in outcome.sent.items()
    }
    assert sent == expected.get("sent", {})


def test_the_corpus_is_large_and_each_file_of_it_is_used() -> None:
    used = {entry.get("file", name) for name, entry in EXPECTED.items()}
    there = {path.name for path in (HERE / "files").iterdir()} | FILES.keys()
    assert used <= there
    assert len(used) >= 150
