"""Actions on registrations and people"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("candidate", sa.Column("doing", sa.String(20), nullable=True))
    op.add_column("registration", sa.Column("doing", sa.String(20), nullable=True))
    op.add_column("batch", sa.Column("action", sa.String(20), nullable=False, server_default="register"))
    op.add_column("row", sa.Column("action", sa.String(20), nullable=False, server_default="register"))
