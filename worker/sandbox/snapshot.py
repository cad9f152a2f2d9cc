"""What the sandbox holds and has seen, as plain values for `/sandbox/*` and the page. Changes nothing."""

from __future__ import annotations

from typing import Any

from worker.sandbox.state import SandboxState


def snapshot(state: SandboxState) -> dict[str, Any]:
    """Return the counts by system, the duplicates, the calls by operation and status, the quotas and the rules."""
    systems = state.systems
    duplicates = {name: system.duplicates() for name, system in systems.items()}
    return {
        **{name: system.counts() for name, system in systems.items()},
        "duplicates": {
            "persons": sum(each["persons"] for each in duplicates.values()),
            "registrations": sum(each["registrations"] for each in duplicates.values()),
            **duplicates,
        },
        "calls": {name: {} for name in systems} | state.journal.by_operation(),
        "quota": state.quota_enforcer.figures(),
        "rules": state.fault_plan.figures(),
    }


def candidates(state: SandboxState) -> list[dict[str, Any]]:
    """Return everybody, of all systems; the deleted too."""
    return [{"system": name, **row} for name, system in state.systems.items() for row in system.candidate_rows()]


def registrations(state: SandboxState) -> list[dict[str, Any]]:
    """Return every registration, of all systems; the withdrawn too."""
    return [{"system": name, **row} for name, system in state.systems.items() for row in system.registration_rows()]
