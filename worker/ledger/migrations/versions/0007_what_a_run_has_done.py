"""What a run of a job has done: when it began, and the calls before it"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job", sa.Column("run_started_at", sa.Float(), nullable=True))
    op.add_column("job", sa.Column("calls_before_run", sa.Integer(), nullable=False, server_default="0"))
