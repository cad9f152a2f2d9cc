"""Drafts on disk, and what their form asks for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from worker.errors import UsageError
from worker.intake.options import Options
from worker.jobs import drafts
from worker.ledger.database import now
from worker.web.pages.draft_form import FieldReader, options_of, start_time
from worker.web.pages.preview import Preview, PreviewColumn


@pytest.fixture
def services(tmp_path: Path) -> Any:
    return SimpleNamespace(files=tmp_path / "files")


def kept(services: Any, tmp_path: Path) -> drafts.Draft:
    upload = tmp_path / "upload.csv"
    upload.write_text("email\n", encoding="utf-8")
    return drafts.create(services, upload, name="spring.csv", connection="north", by="ana")


def test_a_draft_is_found_again_with_its_file_and_for_its_owner_alone(services: Any, tmp_path: Path) -> None:
    draft = kept(services, tmp_path)

    assert drafts.find(services, draft.id) == draft
    assert drafts.path_of(services, draft).read_text("utf-8") == "email\n"
    folder = drafts.folder(services) / draft.id
    assert [path.stat().st_mode & 0o077 for path in (folder, folder / "draft.json")] == [0, 0]


@pytest.mark.parametrize("draft_id", ["", "..", "../../etc", "a" * 24, "a" * 23 + "/", "%2e%2e", "a" * 23 + "\n"])
def test_what_is_no_id_finds_no_draft(services: Any, draft_id: str) -> None:
    assert drafts.find(services, draft_id) is None


def test_what_was_understood_while_the_draft_was_changed_is_not_kept(services: Any, tmp_path: Path) -> None:
    draft = kept(services, tmp_path)
    drafts.change(services, draft, replace(draft, options=Options(course="58")))

    drafts.save_preview(services, draft, Preview(made_at=1.0))

    assert drafts.find_preview(services, draft, Preview) is None


def test_what_was_understood_is_forgotten_with_a_change(services: Any, tmp_path: Path) -> None:
    draft = kept(services, tmp_path)
    seen = Preview(made_at=1.0, sample_rows=[(2, ["a"])], columns=[heading("email", "email")])
    drafts.save_preview(services, draft, seen)
    assert drafts.find_preview(services, draft, Preview) == seen

    changed = replace(draft, options=Options(mapping={"Contact": "email"}))
    drafts.change(services, draft, changed)

    assert drafts.find_preview(services, draft, Preview) is None
    assert drafts.find(services, draft.id) == changed


def test_a_draft_of_yesterday_goes_when_the_next_one_comes(services: Any, tmp_path: Path) -> None:
    old, other = kept(services, tmp_path), kept(services, tmp_path)
    long_ago = now() - drafts.MAX_AGE_SECONDS - 1
    os.utime(drafts.folder(services) / old.id, (long_ago, long_ago))

    kept(services, tmp_path)

    assert drafts.find(services, old.id) is None
    assert drafts.find(services, other.id) == other


def heading(name: str, column: str, by_itself: str | None = None, *, at: int = 0) -> PreviewColumn:
    return PreviewColumn(
        at=at,
        name=name,
        letter="A",
        column=column,
        detected=column if by_itself is None else by_itself,
        examples=[],
    )


@pytest.mark.parametrize(
    ("form", "mapping"),
    [
        ({"column-0": "email", "column-1": ""}, {}),
        ({"column-0": "", "column-1": "email"}, {"E-mail": "", "Contact": "email"}),
        ({"column-0": "email", "column-1": "field:Contact"}, {"Contact": "field:Contact"}),
        ({}, {}),
    ],
)
def test_a_heading_is_mapped_only_when_the_form_says_otherwise(
    form: Mapping[str, str], mapping: dict[str, str]
) -> None:
    seen = Preview(made_at=0.0, columns=[heading("E-mail", "email"), heading("Contact", "", at=1)])

    assert options_of(form, Options(), seen, FieldReader()).mapping == mapping


def test_a_heading_goes_back_to_what_it_says_itself() -> None:
    seen = Preview(made_at=0.0, columns=[heading("E-mail", "", "email")])

    read = options_of({"column-0": "email"}, Options(mapping={"E-mail": ""}), seen, FieldReader())

    assert read.mapping == {}


def test_the_form_as_it_is_shown_changes_nothing() -> None:
    seen = Preview(
        made_at=0.0, sheet="Spring", columns=[heading("E-mail", "", "email"), heading("Mail", "email", at=1)]
    )

    form = {"sheet": "Spring", "column-0": "", "column-1": "email"}

    assert options_of(form, Options(), seen, FieldReader()) == Options()


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"start_row": "two"}, "Start at row"),
        ({"max_rows": "0"}, "Maximum number of rows"),
        ({"set-value-0": "1"}, "choose the column"),
        ({"set-column-0": "nonsense", "set-value-0": "1"}, "there is no column"),
        ({"course": "5\0"}, "invalid character"),
    ],
)
def test_what_cannot_be_is_said_with_its_field(form: Mapping[str, str], words: str) -> None:
    reader = FieldReader()

    options_of(form, Options(), Preview(made_at=0.0), reader)

    (message,) = reader.errors.values()
    assert words in message


def test_a_time_is_that_of_the_browser() -> None:
    assert start_time({}) is None
    with pytest.raises(UsageError, match="not a time"):
        start_time({"at": "soon"})
    with pytest.raises(UsageError, match="in the past"):
        start_time({"at": "2020-01-01T09:30", "zone_minutes": "-540"})
    with pytest.raises(UsageError, match="more than a year"):
        start_time({"at": "9999-01-01T09:30", "zone_minutes": "0"})
    with pytest.raises(UsageError, match="not a time"):
        start_time({"at": "2030-01-01T09:30", "zone_minutes": "inf"})
