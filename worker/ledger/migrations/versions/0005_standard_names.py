"""Standard names"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = {
    "call": "call_count",
    "dropped": "dropped_file",
    "guess": "sign_in_failure",
    "memory": "key_value",
    "notice": "webhook_event",
}
#: By the new name of the table.
COLUMNS = {
    "audit": {"who": "actor", "act": "action"},
    "batch": {"rung_at": "enqueued_at"},
    "candidate": {"doing": "pending_action"},
    "dropped_file": {"goal": "target_path", "changed": "modified_at", "at": "updated_at"},
    "job": {
        "kept_at": "stored_path",
        "rung_at": "enqueued_at",
        "dropped_by": "submitted_by",
        "told_at": "notified_at",
    },
    "key_value": {"name": "key", "at": "updated_at"},
    "message": {"mark": "dedup_key", "at": "created_at"},
    "registration": {"doing": "pending_action"},
    "schedule": {"look": "last_seen_file"},
    "session": {"mark": "secret_hash"},
    "sign_in_failure": {"about": "subject"},
    "token": {"mark": "secret_hash"},
    "webhook_event": {"mark": "body_hash", "place": "position", "at": "received_at", "fate": "status"},
}
INDEXES = {
    "dropped_file": {
        "ix_dropped_job_id": ("ix_dropped_file_job_id", ["job_id"]),
        "ix_dropped_state": ("ix_dropped_file_state", ["state"]),
    },
    "webhook_event": {
        "ix_notice_fate_at": ("ix_webhook_event_status_received_at", ["status", "received_at"]),
    },
}
CONSTRAINTS = {
    "call_count": {"pk_call": "pk_call_count", "fk_call_job_id": "fk_call_count_job_id"},
    "dropped_file": {"pk_dropped": "pk_dropped_file"},
    "key_value": {"pk_memory": "pk_key_value"},
    "message": {"uq_message_receiver_mark": "uq_message_receiver_dedup_key"},
    "sign_in_failure": {"pk_guess": "pk_sign_in_failure"},
    "token": {"uq_token_mark": "uq_token_secret_hash"},
    "webhook_event": {
        "pk_notice": "pk_webhook_event",
        "uq_notice_connection_mark_place": "uq_webhook_event_connection_body_hash_position",
    },
}
SEQUENCES = {"dropped_id_seq": "dropped_file_id_seq", "notice_id_seq": "webhook_event_id_seq"}


def upgrade() -> None:
    for old, new in TABLES.items():
        op.rename_table(old, new)
    for table, columns in COLUMNS.items():
        for old, new in columns.items():
            op.alter_column(table, old, new_column_name=new)
    for table, indexes in INDEXES.items():
        for old, (new, indexed) in indexes.items():
            op.drop_index(old, table)
            op.create_index(op.f(new), table, indexed)
    if op.get_bind().dialect.name == "postgresql":
        _rename_constraints()
    else:
        _rebuild_tables()


def _rename_constraints() -> None:
    for table, names in CONSTRAINTS.items():
        for old, new in names.items():
            op.execute(sa.text(f'ALTER TABLE "{table}" RENAME CONSTRAINT "{old}" TO "{new}"'))
    for old, new in SEQUENCES.items():
        op.execute(sa.text(f'ALTER SEQUENCE "{old}" RENAME TO "{new}"'))


def _rebuild_tables() -> None:
    """SQLite keeps the names of constraints in the text of CREATE TABLE and cannot change them.

    No other table refers to one of these, so that removing the old table deletes nothing else.
    """
    for table, names in CONSTRAINTS.items():
        rebuilt = sa.Table(table, sa.MetaData(), autoload_with=op.get_bind())
        for constraint in rebuilt.constraints:
            constraint.name = names.get(str(constraint.name), constraint.name)
        with op.batch_alter_table(table, copy_from=rebuilt, recreate="always"):
            pass
