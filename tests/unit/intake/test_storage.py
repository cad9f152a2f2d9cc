"""Files elsewhere: whole or not at all, and failures in plain words."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.addresses import masked
from worker.errors import UsageError
from worker.intake import storage


def test_what_is_put_can_be_had_again_and_removed(tmp_path: Path) -> None:
    mine, address = tmp_path / "mine.csv", f"local://{tmp_path}/there/roster.csv"
    mine.write_text("email\n")

    storage.put(mine, address)
    with storage.local_copy(address) as path:
        again = path.read_text()
        suffix = path.suffix
    storage.remove(address)

    assert (again, suffix) == ("email\n", ".csv")
    assert not path.exists()
    assert list((tmp_path / "there").iterdir()) == []


def test_a_file_that_is_put_again_is_whole_and_has_no_leftovers(tmp_path: Path) -> None:
    mine, address = tmp_path / "mine.csv", f"local://{tmp_path}/there/roster.csv"
    for text in ("first", "second"):
        mine.write_text(text)
        storage.put(mine, address)

    (there,) = (tmp_path / "there").iterdir()
    assert there.read_text() == "second"


def test_a_file_that_does_not_exist_is_reported_plainly(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"), storage.local_copy(f"local://{tmp_path}/no.csv"):
        pass


def test_brackets_in_a_name_are_no_pattern(tmp_path: Path) -> None:
    mine, address = tmp_path / "mine.csv", f"local://{tmp_path}/there/spring [A].csv"
    mine.write_text("email\n")

    storage.put(mine, address)
    put = [each.name for each in (tmp_path / "there").iterdir()]
    storage.remove(address)

    assert put == ["spring [A].csv"]
    assert list((tmp_path / "there").iterdir()) == []


def test_a_path_is_at_hand_as_it_is(tmp_path: Path) -> None:
    with storage.local_copy(str(tmp_path / "x.csv")) as path:
        assert path == tmp_path / "x.csv"


def test_removing_what_is_not_there_is_no_trouble(tmp_path: Path) -> None:
    storage.remove(f"local://{tmp_path}/no.csv")


@given(st.text(max_size=40))
def test_whatever_an_address_is_it_can_be_shown(text: str) -> None:
    assert isinstance(masked(f"s3://{text}"), str)
