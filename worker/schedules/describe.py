"""A schedule as JSON, for the command line and the API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from worker.ledger import schedules, sources
from worker.reports.lines import utc_text
from worker.schedules.source import parse_source

if TYPE_CHECKING:
    from worker.ledger.database import Transaction
    from worker.ledger.schedules import Schedule
    from worker.ledger.sources import RosterSource


def describe_all(tx: Transaction) -> list[dict[str, Any]]:
    """Return all schedules, by name."""
    known = sources.all_sources(tx)
    return [describe(each, known.get(sources.schedule_source(each.name))) for each in schedules.list_schedules(tx)]


def describe(each: Schedule, recorded: RosterSource | None) -> dict[str, Any]:
    """Return a schedule, its source without secrets, with what is recorded of that source."""
    problem = None
    if recorded is not None and recorded.problem is not None:
        problem = {"code": recorded.problem, "reason": recorded.reason, "since": _utc(recorded.since or 0.0)}
    return {
        "name": each.name,
        "cron": each.cron,
        "zone": each.zone,
        "source": parse_source(each.source).display_text,
        "connection": each.connection,
        "options": dict(each.options),
        "missed": each.missed,
        "expect_by": each.expect_by or None,
        "ignore_unchanged": each.ignore_unchanged,
        "report": each.report_dir or None,
        "paused_at": _utc(each.paused_at),
        "next_at": None if each.paused_at is not None else _utc(each.next_at),
        "last_at": _utc(each.last_at),
        "last_job": each.last_job_id,
        "last_error": each.last_error or None,
        "problem": problem,
        "last_file_at": None if recorded is None else _utc(recorded.seen_at),
    }


def _utc(at: float | None) -> str | None:
    return None if at is None else utc_text(datetime.fromtimestamp(at, UTC))
