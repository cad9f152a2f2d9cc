"""A row status or a job state is added in two files: `worker/model.py` and `worker/reports/labels.py`."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import fields
from enum import StrEnum
from pathlib import Path

import pytest

from tests.parsing import parse
from worker import model
from worker.model import Action, JobState, RowStatus
from worker.reports.labels import STATE_INFO, STATUS_INFO, StateInfo

WORKER = Path(model.__file__).parent
TABLES = {WORKER / "model.py", WORKER / "reports" / "labels.py"}
#: More than this in one collection is a list of a property that belongs into the table.
MOST = 2


def lists_of(names: set[str], tree: ast.AST) -> Iterator[tuple[int, int]]:
    """Yield (line, number of members) of the collections and dictionaries that name members of an enumeration."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            members = [key for key in node.keys if key is not None]
        elif isinstance(node, ast.Set | ast.Tuple | ast.List):
            members = node.elts
        else:
            continue
        count = sum(
            isinstance(member, ast.Attribute) and isinstance(member.value, ast.Name) and member.value.id in names
            for member in members
        )
        yield node.lineno, count


@pytest.mark.parametrize("path", sorted(set(WORKER.rglob("*.py")) - TABLES), ids=lambda path: path.name)
def test_no_other_module_lists_statuses_or_states_by_hand(path: Path) -> None:
    tree = parse(path.read_text("utf-8"))
    by_hand = [
        f"{path.relative_to(WORKER)}:{line}"
        for name in ("RowStatus", "JobState")
        for line, count in lists_of({name}, tree)
        if count > MOST
    ]
    assert by_hand == []


@pytest.mark.parametrize("status", RowStatus)
def test_every_row_status_has_every_property_and_is_shown_in_full(status: RowStatus) -> None:
    assert all(isinstance(getattr(status, name), bool) for name in properties_of(RowStatus))
    assert all(getattr(STATUS_INFO[status], field.name) for field in fields(STATUS_INFO[status]))


@pytest.mark.parametrize("state", JobState)
def test_every_job_state_has_every_property_and_is_shown_in_full(state: JobState) -> None:
    assert all(isinstance(getattr(state, name), bool) for name in properties_of(JobState))
    assert all(getattr(STATE_INFO[state], field.name) for field in fields(STATE_INFO[state]))


def properties_of(kind: type[StrEnum]) -> list[str]:
    names = [name for name, value in vars(kind).items() if isinstance(value, property)]
    assert names
    return names


@pytest.mark.parametrize("table", [STATUS_INFO, STATE_INFO])
def test_no_two_have_the_same_label_and_every_meaning_is_a_sentence(table: Mapping[StrEnum, StateInfo]) -> None:
    assert len({info.label for info in table.values()}) == len(table)
    assert all(info.meaning.endswith(".") for info in table.values())


def test_a_row_is_done_open_or_a_duplicate() -> None:
    done, left = ({status for status in RowStatus if getattr(status, name)} for name in ("is_done", "is_open"))
    assert done.isdisjoint(left)
    assert set(RowStatus) - done - left == {RowStatus.SKIPPED}
    assert set(model.STATUS_WHEN_DONE) == set(Action)
    assert set(model.STATUS_WHEN_DONE.values()) < done


def test_only_open_rows_are_pending_retriable_or_need_attention() -> None:
    for status in RowStatus:
        if status.is_pending or status.is_retriable or status.needs_attention:
            assert status.is_open


def test_a_job_that_has_not_ended_moves_or_is_idle() -> None:
    for state in JobState:
        assert state.has_ended == (not state.is_moving and not state.is_idle)
        assert not (state.has_ended and state.may_have_calls)
        assert not state.went_through or state.has_ended
        assert not state.is_unread or state.is_preparing
        assert not state.is_sending or (state.is_moving and state.may_have_calls)
