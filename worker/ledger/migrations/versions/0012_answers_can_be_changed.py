"""Rows: how they were before a person answered for them, so that the answer can be changed"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("row", sa.Column("before_answer", sa.JSON(), nullable=True))
