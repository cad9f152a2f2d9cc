"""Accounts and audit: folded names, token names and expiry, known browsers, addresses of callers"""

from __future__ import annotations

import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ACCOUNT = sa.table("account", sa.column("id"), sa.column("name"), sa.column("name_key"))
TOKEN = sa.table("token", sa.column("id"), sa.column("account_id"), sa.column("name"))
MAX_TOKEN_NAME = 100


def upgrade() -> None:
    # No table is rebuilt: on SQLite that would delete the sessions and tokens of every account.
    op.add_column("account", sa.Column("name_key", sa.Text(), nullable=True))
    op.add_column("token", sa.Column("expires_at", sa.Float(), nullable=True))
    op.add_column("audit", sa.Column("address", sa.String(length=100), nullable=True))
    op.add_column("audit", sa.Column("count", sa.Integer(), nullable=False, server_default="1"))
    op.create_table(
        "known_browser",
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("seen_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_known_browser_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "secret_hash", name=op.f("pk_known_browser")),
    )
    op.create_index(op.f("ix_known_browser_secret_hash"), "known_browser", ["secret_hash"])
    op.create_index(op.f("ix_known_browser_seen_at"), "known_browser", ["seen_at"])
    _fold_names()
    _tell_tokens_apart()
    op.create_index(op.f("ix_account_name_key"), "account", ["name_key"], unique=True)
    op.create_index(op.f("ix_token_account_id_name"), "token", ["account_id", "name"], unique=True)


def _fold_names() -> None:
    """Of accounts whose names fold alike the oldest has the folded name; the others keep their exact spelling."""
    connection, taken = op.get_bind(), set()
    for id_, name in connection.execute(sa.select(ACCOUNT.c.id, ACCOUNT.c.name).order_by(ACCOUNT.c.id)).all():
        key = _folded(name)
        if key in taken:
            key = f"{key}#{id_}"
        taken.add(key)
        connection.execute(sa.update(ACCOUNT).where(ACCOUNT.c.id == id_).values(name_key=key))


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _tell_tokens_apart() -> None:
    """Give each token of an account a name of its own: it is revoked by it."""
    connection = op.get_bind()
    taken: set[tuple[int, str]] = set()
    query = sa.select(TOKEN.c.id, TOKEN.c.account_id, TOKEN.c.name).order_by(TOKEN.c.id)
    for id_, account_id, name in connection.execute(query).all():
        unique = name
        if not name or (account_id, name) in taken:
            end = f"-{id_}"
            unique = f"{(name or 'token')[: MAX_TOKEN_NAME - len(end)]}{end}"
            connection.execute(sa.update(TOKEN).where(TOKEN.c.id == id_).values(name=unique))
        taken.add((account_id, unique))
