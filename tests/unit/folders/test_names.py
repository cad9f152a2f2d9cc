from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.folders.names import free_name, is_download_placeholder, is_roster, is_temporary

NAMES = st.from_regex(r"[a-zA-ZäÖé0-9 ._-]{1,12}\.(csv|xlsx|CSV)", fullmatch=True)


@pytest.mark.parametrize(
    "name", ["a.csv", "A.XLSX", "b.tsv", "c.txt", "d.ods", "e.xls", "f.xlsb", "tmp.csv", "part.xlsm"]
)
def test_what_intake_reads_is_imported(name: str) -> None:
    assert is_roster(name)


@pytest.mark.parametrize(
    "name",
    [
        "a.csv.part",
        "a.csv.PART",
        "a.tmp",
        "a.csv.filepart",
        "a.csv.crdownload",
        "~$a.xlsx",
        ".a.csv",
        ".~lock.a.csv#",
    ],
)
def test_a_temporary_file_is_neither_imported_nor_reported(name: str) -> None:
    assert is_temporary(name)
    assert not is_roster(name)


@pytest.mark.parametrize("name", ["a.pdf", "a", "a.csv.gz", "summary.json", "bad-\udcff.csv"])
def test_everything_else_is_left_alone(name: str) -> None:
    assert not is_roster(name)


def test_an_empty_file_next_to_its_download_is_a_placeholder() -> None:
    assert is_download_placeholder("a.csv", 0, {"a.csv", "a.csv.part"})
    assert not is_download_placeholder("a.csv", 5, {"a.csv", "a.csv.part"})
    assert not is_download_placeholder("a.csv", 0, {"a.csv"})


def test_a_name_is_numbered_when_the_file_or_a_report_of_it_is_in_the_way() -> None:
    assert free_name("a.csv", {"b.csv"}) == "a.csv"
    assert free_name("a.csv", {"a.csv"}) == "a-2.csv"
    assert free_name("a.csv", {"A.CSV", "a-2.results.csv"}) == "a-3.csv"
    assert free_name("a.xlsx", {"a.csv"}) == "a-2.xlsx"
    assert free_name("a.csv", {"abc.csv"}) == "a.csv"


def test_a_name_that_is_too_long_to_be_numbered_is_shortened() -> None:
    first, second = (free_name(f"{'ü' * 120}{end}.csv", set()) for end in ("a", "b"))

    assert first != second
    assert max(len(name.encode()) for name in (first, second)) < 220


@given(st.lists(NAMES, max_size=15))
def test_names_that_are_chosen_one_after_the_other_never_collide(names: list[str]) -> None:
    taken: list[str] = []
    for name in names:
        taken.append(free_name(name, taken))

    for number, name in enumerate(taken):
        stem = name.casefold().rpartition(".")[0]
        assert not [earlier for earlier in taken[:number] if earlier.casefold().startswith(f"{stem}.")]
