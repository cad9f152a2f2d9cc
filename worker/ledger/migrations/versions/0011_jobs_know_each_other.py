"""Jobs know each other: which undoes, fixes or repeats which"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

JOB = sa.table("job", sa.column("id"), sa.column("fingerprint"))
RELATION = sa.table("job_relation", sa.column("job_id"), sa.column("kind"), sa.column("other_id"))
UNDO = "undo:"


def upgrade() -> None:
    op.create_table(
        "job_relation",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("other_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_relation_job_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["other_id"], ["job.id"], name=op.f("fk_job_relation_other_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "kind", "other_id", name=op.f("pk_job_relation")),
    )
    op.create_index(op.f("ix_job_relation_other_id"), "job_relation", ["other_id"])
    op.add_column("row", sa.Column("fixes_row_id", sa.Integer(), nullable=True))
    op.create_index(op.f("ix_row_fixes_row_id"), "row", ["fixes_row_id"])
    _relate_undo_jobs()


def _relate_undo_jobs() -> None:
    """Relate undo jobs, whose fingerprint names the job that they undo."""
    connection = op.get_bind()
    ids = set(connection.execute(sa.select(JOB.c.id)).scalars())
    undoing = sa.select(JOB.c.id, JOB.c.fingerprint).where(JOB.c.fingerprint.like(f"{UNDO}%"))
    for job_id, fingerprint in connection.execute(undoing).all():
        other = fingerprint.removeprefix(UNDO)
        if other.isdecimal() and int(other) in ids:
            connection.execute(RELATION.insert().values(job_id=job_id, kind="undoes", other_id=int(other)))
