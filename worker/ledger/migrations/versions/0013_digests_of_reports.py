"""Digests of the reports that were written, so that no edited file is replaced"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "report_file",
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("report_key", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("path", "digest", name=op.f("pk_report_file")),
    )
    op.add_column("job", sa.Column("report_key", sa.String(length=64), nullable=True))
