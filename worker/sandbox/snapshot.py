"""What the sandbox holds and has seen, as plain values for `/sandbox/*` and the page. Changes nothing."""

from __future__ import annotations

from collections import Counter
from typing import Any

from worker.sandbox.kmi_registrations import Status
from worker.sandbox.moodle.site import FIRST, Account, Enrolment
from worker.sandbox.state import SandboxState


def snapshot(state: SandboxState) -> dict[str, Any]:
    """Return the counts, the duplicates, the calls by operation and status, the quota figures and the rules."""
    users = [user for user in state.kmi.people.users.values() if not user.deleted]
    registrations = list(state.kmi.registrations.all.values())
    standing = [each for each in registrations if each.status is not Status.WITHDRAWN]
    by_system = {
        "tahdah": state.tahdah.duplicates(),
        "kmi": state.kmi.duplicates(),
        "moodle": state.moodle.duplicates(),
    }
    return {
        "tahdah": {
            "candidates": len(state.tahdah.candidates),
            "registrations": len(state.tahdah.registrations),
            "by_course": dict(Counter(str(each.experience_id) for each in state.tahdah.registrations)),
            "mails_sent": state.tahdah.mails_sent,
            "webhooks": {str(status): count for status, count in state.tahdah.announcer.answers.items()},
        },
        "kmi": {
            "candidates": len(users),
            "seeded": state.options.seed_users,
            "registrations": len(standing),
            "withdrawn": len(registrations) - len(standing),
            "by_course": dict(Counter(str(each.course.id) for each in standing)),
            "by_status": dict(Counter(str(each.status) for each in registrations)),
            "mails_sent": state.kmi.mails_sent,
        },
        "moodle": _moodle(state),
        "duplicates": {
            "persons": sum(each["persons"] for each in by_system.values()),
            "registrations": sum(each["registrations"] for each in by_system.values()),
            **by_system,
        },
        "calls": state.journal.by_operation(),
        "quota": state.quota_enforcer.figures(),
        "rules": state.fault_plan.figures(),
    }


def candidates(state: SandboxState) -> list[dict[str, Any]]:
    """Return everybody, of all systems; the deleted too."""
    tahdah = [
        {
            "system": "tahdah",
            "id": str(each.id),
            "email": each.email,
            "created": each.created,
            "fields": each.fields,
        }
        for each in state.tahdah.candidates.values()
    ]
    kmi = [
        {
            "system": "kmi",
            "id": str(each.id),
            "email": each.email,
            "external_ids": each.external_ids,
            "deleted": each.deleted,
            "created": each.created,
            "fields": each.fields,
        }
        for each in state.kmi.people.users.values()
    ]
    moodle = [
        {
            "system": "moodle",
            "id": str(each.id),
            "email": each.email,
            "username": each.username,
            "external_ids": {"idnumber": each.idnumber},
            "deleted": each.deleted,
            "suspended": each.suspended,
            "created": each.created,
            "fields": {
                "firstname": each.firstname,
                "lastname": each.lastname,
                "auth": each.auth,
                **each.fields,
                **each.profile,
            },
        }
        for each in _people(state)
    ]
    return [*tahdah, *kmi, *moodle]


def registrations(state: SandboxState) -> list[dict[str, Any]]:
    """Return every registration, of all systems; the withdrawn too."""
    tahdah = [
        {
            "system": "tahdah",
            "id": str(each.id),
            "candidate_id": str(each.candidate_id),
            "email": state.tahdah.candidates[each.candidate_id].email,
            "legal_entity_id": each.legal_entity_id,
            "course_id": each.experience_id,
            "behavior": each.behavior,
            "registration_date": each.date,
            "created": each.created,
        }
        for each in state.tahdah.registrations
    ]
    kmi = [
        {
            "system": "kmi",
            "id": str(each.id),
            "candidate_id": str(each.user.id),
            "email": each.user.email,
            "course_id": each.course.id,
            "external_id": each.external_id,
            "status": each.status,
            "score": each.score,
            "success": each.success,
            "created": each.created,
        }
        for each in state.kmi.registrations.all.values()
    ]
    moodle = [
        {
            "system": "moodle",
            "id": str(each.id),
            "candidate_id": str(each.user_id),
            "email": state.moodle.site.accounts[each.user_id].email,
            "course_id": each.course_id,
            "method": each.method,
            "status": "Suspended" if each.suspended else "Active",
            "roles": sorted(state.moodle.site.roles.get((each.course_id, each.user_id), ())),
            "created": each.created,
        }
        for each in _enrolments(state)
    ]
    return [*tahdah, *kmi, *moodle]


def _moodle(state: SandboxState) -> dict[str, Any]:
    enrolments = _enrolments(state)
    return {
        "candidates": sum(not each.deleted for each in _people(state)),
        "seeded": state.options.moodle.seed_users,
        "registrations": len(enrolments),
        "by_course": dict(Counter(str(each.course_id) for each in enrolments)),
        "suspended": sum(each.suspended for each in enrolments),
        "mails_sent": state.moodle.mails_sent,
    }


def _people(state: SandboxState) -> list[Account]:
    """Return everybody but the accounts that every site has."""
    return [each for each in state.moodle.site.accounts.values() if each.id >= FIRST]


def _enrolments(state: SandboxState) -> list[Enrolment]:
    return [each for course in state.moodle.site.enrolments.values() for each in course.values()]
