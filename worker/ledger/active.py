"""Registrations that exist as far as is known: a newer call changes that only once its outcome is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, or_

from worker.ledger.schema import registration
from worker.model import RegistrationState

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement


def is_active() -> ColumnElement[bool]:
    """Return the condition that a registration was made and, as far as is known, not withdrawn.

    One that is being changed, withdrawn or made again was made before: its pending action says so.
    """
    is_pending = registration.c.state.in_((RegistrationState.SENDING, RegistrationState.IN_DOUBT))
    return or_(
        registration.c.state == RegistrationState.REGISTERED,
        and_(is_pending, registration.c.pending_action.is_not(None)),
    )
