"""Sources of rosters: the last file of each schedule and drop folder, and what is wrong with it"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "roster_source",
        sa.Column("name", sa.String(length=220), nullable=False),
        sa.Column("connection", sa.String(length=200), nullable=False),
        sa.Column("place", sa.String(length=64), nullable=False),
        sa.Column("seen", sa.JSON(), nullable=True),
        sa.Column("seen_at", sa.Float(), nullable=True),
        sa.Column("imported", sa.JSON(), nullable=True),
        sa.Column("checked_at", sa.Float(), nullable=True),
        sa.Column("deadline_at", sa.Float(), nullable=True),
        sa.Column("expectation", sa.Text(), nullable=False, server_default=sa.text("''")),
        sa.Column("problem", sa.String(length=40), nullable=True),
        sa.Column("last_problem", sa.String(length=40), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False, server_default=sa.text("''")),
        sa.Column("since", sa.Float(), nullable=True),
        sa.Column("failing_at", sa.Float(), nullable=True),
        sa.Column("notified_since", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_roster_source")),
    )
    op.add_column("message", sa.Column("detail", sa.JSON(), nullable=True))
    op.add_column(
        "schedule", sa.Column("expect_by", sa.String(length=200), nullable=False, server_default=sa.text("''"))
    )
    op.add_column(
        "schedule", sa.Column("ignore_unchanged", sa.Boolean(), nullable=False, server_default=sa.false())
    )
