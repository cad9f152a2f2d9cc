"""The audit log on every database: what it says of a caller, how refusals are bounded, how long it is kept."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from sqlalchemy import update

from worker.bootstrap import Services
from worker.jobs import purge
from worker.ledger import accounts, schema
from worker.ledger.accounts import AuditEntry
from worker.ledger.database import now
from worker.ledger.transactions import Ledger
from worker.model import Actor
from worker.settings import Serve, Settings
from worker.web import refusals
from worker.web.refusals import RefusalLog

ANA = Actor(name="ana", address="192.0.2.7")


def entries(ledger: Ledger) -> list[AuditEntry]:
    with ledger.read() as tx:
        return accounts.audit_entries(tx, most=10_000)


def test_an_entry_has_the_callers_address_and_goes_to_the_log_without_its_detail(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "roster.audit")
    with ledger.write() as tx:
        accounts.add_audit_entry(tx, actor=ANA, action="save map", job_id=7, detail="Jane Doe")
        assert caplog.records == [], "it was logged before it was committed"

    (entry,) = entries(ledger)
    assert (entry.actor, entry.address, entry.action, entry.job_id, entry.count) == (
        "ana",
        "192.0.2.7",
        "save map",
        7,
        1,
    )
    (line,) = caplog.records
    assert [getattr(line, name) for name in ("actor", "address", "action", "job")] == [
        "ana",
        "192.0.2.7",
        "save map",
        7,
    ]
    assert "Jane Doe" not in str(line.__dict__)


def test_what_is_rolled_back_is_not_logged(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "roster.audit")

    with ledger.dry_run() as tx:
        accounts.add_audit_entry(tx, actor=ANA, action="undo")

    assert entries(ledger) == []
    assert caplog.records == []


async def test_refusals_of_one_kind_are_one_line_that_counts_them(ledger: Ledger) -> None:
    log = RefusalLog(ledger)
    for _ in range(50):
        await log.record(ANA, "role refused", "POST /api/jobs")
    await log.record(Actor(name="ana", address="192.0.2.8"), "role refused", "POST /api/jobs")
    await log.save_counts()

    assert [(entry.address, entry.action, entry.count) for entry in entries(ledger)] == [
        ("192.0.2.8", "role refused", 1),
        ("192.0.2.7", "role refused", 50),
    ]


async def test_a_flood_of_refusals_from_everywhere_adds_a_limited_number_of_lines(ledger: Ledger) -> None:
    log = RefusalLog(ledger)
    for number in range(refusals.MAX_LINES * 3):
        await log.record(Actor(name="-", address=f"2001:db8:{number:x}::1"), "sign-in refused")
    await log.save_counts()

    found = entries(ledger)
    assert len(found) == refusals.MAX_LINES + 1
    assert (found[0].action, found[0].count) == (refusals.FURTHER, refusals.MAX_LINES * 2)


async def test_after_an_hour_refusals_are_recorded_on_new_lines(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = RefusalLog(ledger)
    for _ in range(3):
        await log.record(ANA, "form refused")
    monkeypatch.setattr(log, "_begun", log._begun - refusals.WINDOW_SECONDS - 1)
    for _ in range(2):
        await log.record(ANA, "form refused")
    await log.save_counts()

    assert [entry.count for entry in entries(ledger)] == [2, 3]


def test_purge_removes_entries_that_are_older_than_the_setting(ledger: Ledger, tmp_path: Path) -> None:
    for action in ("old", "new"):
        with ledger.write() as tx:
            accounts.add_audit_entry(tx, actor=ANA, action=action)
    with ledger.write() as tx:
        tx.execute(update(schema.audit).where(schema.audit.c.action == "old").values(at=now() - 31 * 86400))
    settings = Settings(files=str(tmp_path), serve=Serve(audit_days=30))

    purge.purge(Services(settings=settings, ledger=ledger, owner="a/1/1"), 3600.0, pytest.fail)

    assert [entry.action for entry in entries(ledger)] == ["new"]
