"""A row may have many error codes: PostgreSQL refused those that were longer than 60 characters together"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # SQLite enforces no length.
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("row", "error_code", type_=sa.Text(), existing_type=sa.String(60), existing_nullable=False)
