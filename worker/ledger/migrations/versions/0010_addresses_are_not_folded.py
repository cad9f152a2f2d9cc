"""Addresses are not folded, and the names of the people of an LMS are compared"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import idna
import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

candidate = sa.table(
    "candidate",
    sa.column("id", sa.Integer),
    sa.column("key", sa.String),
    sa.column("email_key", sa.String),
    sa.column("row_id", sa.Integer),
)
row = sa.table(
    "row", sa.column("id", sa.Integer), sa.column("candidate_id", sa.Integer), sa.column("parsed", sa.Text)
)


def upgrade() -> None:
    for name in ("first_name_marks", "last_name_marks"):
        op.add_column("person", sa.Column(name, sa.Text, nullable=True))
    tx = op.get_bind()
    for candidate_id in _candidates_with_letters_beyond_ascii(tx):
        _replace_key(tx, candidate_id)


def _candidates_with_letters_beyond_ascii(tx: sa.Connection) -> list[int]:
    """Return the candidates that a row names with any letter beyond ASCII."""
    in_bytes = sa.func.octet_length(row.c.parsed)
    if tx.dialect.name == "sqlite":
        in_bytes = sa.func.length(sa.cast(row.c.parsed, sa.LargeBinary))
    named = sa.select(row.c.candidate_id).distinct()
    beyond = named.where(row.c.candidate_id.is_not(None), in_bytes != sa.func.length(row.c.parsed))
    return list(tx.execute(beyond).scalars())


def _replace_key(tx: sa.Connection, candidate_id: int) -> None:
    """Replace the key of a candidate's address, where the address was folded or its domain is not ASCII."""
    known = tx.execute(sa.select(candidate).where(candidate.c.id == candidate_id)).one_or_none()
    if known is None or known.email_key is None:
        return
    named = sa.select(row.c.id, row.c.parsed).where(row.c.candidate_id == candidate_id, row.c.parsed.is_not(None))
    # The row for which the person was created says it, else the first one that names them.
    rows = sorted(tx.execute(named).all(), key=lambda each: (each.id != known.row_id, each.id))
    addresses = [address for each in rows if (address := _address(each.parsed))]
    same = [address for address in addresses if _hash(address.strip().casefold()) == known.email_key]
    if same and (email_key := _hash(_key(same[0]))) != known.email_key:
        values: dict[str, Any] = {"email_key": email_key}
        if known.key == known.email_key:
            values["key"] = email_key
        tx.execute(sa.update(candidate).where(candidate.c.id == candidate_id).values(**values))


def _address(parsed: str) -> str | None:
    found = json.loads(parsed)["candidate"].get("email")
    return found if isinstance(found, str) else None


def _hash(address: str) -> str:
    return hashlib.sha256(f"mail:{address}".encode()).hexdigest()


def _key(address: str) -> str:
    local_part, at, domain = address.strip().rpartition("@")
    try:
        domain = idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        domain = domain.lower()
    return f"{local_part.lower()}{at}{domain}"
