"""Rows: which registration of a person they make again, so that the ledger keeps that one until there is another"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("row", sa.Column("repeats", sa.Integer(), nullable=True))
