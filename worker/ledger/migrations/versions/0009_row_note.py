"""Rows: a note, which holds for a row that is done too"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("row", sa.Column("note", sa.Text(), nullable=False, server_default=sa.text("''")))
