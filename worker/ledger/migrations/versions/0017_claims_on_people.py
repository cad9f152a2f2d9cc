"""Claims on people: what a person is found by at the LMS, while a call that creates them is on its way"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "person_claim",
        sa.Column("connection", sa.String(length=200), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("candidate_id", sa.Integer(), nullable=False),
        sa.Column("claimed_by", sa.String(length=40), nullable=True),
        sa.PrimaryKeyConstraint("connection", "key", name=op.f("pk_person_claim")),
    )
    op.create_index(op.f("ix_person_claim_claimed_by"), "person_claim", ["claimed_by"])
