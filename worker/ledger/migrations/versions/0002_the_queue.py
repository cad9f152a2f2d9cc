"""Bells of the queue"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job", sa.Column("driver", sa.String(10), nullable=False, server_default="process"))
    op.add_column("job", sa.Column("planned", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("job", sa.Column("owner", sa.String(200), nullable=True))
    op.add_column("job", sa.Column("lease_until", sa.Float(), nullable=True))
    op.add_column("job", sa.Column("rung_at", sa.Float(), nullable=True))
    op.add_column("job", sa.Column("reported_at", sa.Float(), nullable=True))
    op.add_column("job", sa.Column("purged_at", sa.Float(), nullable=True))
    op.add_column("batch", sa.Column("deaths", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("batch", sa.Column("rung_at", sa.Float(), nullable=True))
