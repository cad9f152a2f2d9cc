"""How a roster is to be read and sent, from what a person typed or a form sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from worker.errors import UsageError
from worker.intake.problems import quote
from worker.ledger import accounts, key_value
from worker.model import HiddenRows

if TYPE_CHECKING:
    from worker.ledger.jobs import Job
    from worker.ledger.transactions import Ledger
    from worker.model import Actor

#: Examples for messages about an option that takes NAME=VALUE.
_PAIR_EXAMPLES = {"set": "behavior=1", "map": '"Staff no=external_id"'}
TIME_EXAMPLES = (
    'for example "2026-12-01 06:00", "06:00" (today, or tomorrow when that is past) or 2026-12-01T06:00+01:00'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a roster is to be read and sent. All of it decides what is sent, so it is part of the fingerprint."""

    course: str | None = None
    set_values: Mapping[str, str] = field(default_factory=dict)
    sheet: str | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    encoding: str | None = None
    strict: bool = False
    again: bool = False
    update_existing: bool = False
    start_row: int | None = None
    max_rows: int | None = None
    heading_row: int | None = None
    #: What to do with rows that are hidden in a spreadsheet; without it, such a roster is refused.
    hidden_rows: HiddenRows | None = None


def options_of_job(job: Job) -> Options:
    """Return the options with which a job was submitted."""
    return Options(**job.options)


def parse_options(
    ledger: Ledger, typed: Mapping[str, Any], *, by: Actor | None = None, dashes: str = "--"
) -> Options:
    """Return the options of a roster from what was typed, with the map saved under a name.

    Saving a map is recorded in the audit log when `by` is given, since others may use it.
    `dashes` is what messages write before the name of an option: nothing for the fields of a form.
    Raises UsageError for a text that is not NAME=VALUE, and for a saved map that does not exist.
    """
    mapping = _parse_pairs(typed["mapping"], "map", dashes)
    with ledger.write() as tx:
        if name := typed["use_map"]:
            saved = key_value.get(tx, f"map:{name}")
            if saved is None:
                raise UsageError(f"There is no saved map {name!r}; save one with {dashes}save-map {name}")
            mapping = {**saved, **mapping}
        if name := typed["save_map"]:
            key_value.put(tx, f"map:{name}", mapping)
            if by is not None:
                accounts.add_audit_entry(tx, actor=by, action="save map", detail=name)
    return Options(
        course=typed["course"],
        set_values=_parse_pairs(typed["set_values"], "set", dashes),
        sheet=typed["sheet"],
        mapping=mapping,
        encoding=typed["encoding"],
        strict=typed["strict"],
        again=typed["again"],
        update_existing=typed["update_existing"],
        start_row=typed["start_row"],
        max_rows=typed["max_rows"],
        heading_row=typed["heading_row"],
        hidden_rows=_parse_hidden_rows(typed["hidden_rows"], dashes),
    )


def _parse_hidden_rows(text: str | None, dashes: str) -> HiddenRows | None:
    """Return what to do with hidden rows; raise UsageError for another word."""
    try:
        return HiddenRows(text.lower()) if text else None
    except ValueError:
        name = f"{dashes}hidden-rows" if dashes else "hidden_rows"
        raise UsageError(f"{name}: write send or skip; got {text!r}") from None


def _parse_pairs(texts: Sequence[str], option: str, dashes: str) -> dict[str, str]:
    """Return `NAME=VALUE` texts as a mapping; a heading may contain `=`, so the last one divides a map.

    Raises UsageError for a text without `=`.
    """
    pairs = {}
    for text in texts:
        name, sign, value = text.rpartition("=") if option == "map" else text.partition("=")
        if not sign or not name.strip():
            example = _PAIR_EXAMPLES[option]
            raise UsageError(f"{dashes}{option} takes NAME=VALUE, for example {example}; got {quote(text)}")
        pairs[name.strip()] = value.strip()
    return pairs


def parse_start_time(text: str, *, dashes: str = "--") -> datetime:
    """Return the time that a person wrote, in this machine's zone unless it names one; raise UsageError."""
    now = datetime.now().astimezone()
    try:
        if len(text) <= len("06:00:00") and ":" in text:
            hour = datetime.strptime(text, "%H:%M" if text.count(":") == 1 else "%H:%M:%S").time()  # noqa: DTZ007
            at = datetime.combine(now.date(), hour).astimezone()
            return at if at > now else datetime.combine(now.date() + timedelta(days=1), hour).astimezone()
        at = datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise UsageError(f"{dashes}at {text[:40]!r} is not a time; write {TIME_EXAMPLES}") from None
    if at < now - timedelta(minutes=1):
        raise UsageError(f"{dashes}at {text[:40]!r} is in the past; leave {dashes}at out to start now")
    return at
