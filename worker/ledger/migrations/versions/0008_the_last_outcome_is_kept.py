"""The last outcome of a row is kept while it is sent again"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("row", sa.Column("kept_status", sa.String(length=30), nullable=True))
