"""The tables of the doors: what comes in by itself, who signs in, who is told."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from worker.ledger.metadata import metadata

schedule = Table(
    "schedule",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", String(200), nullable=False),
    #: Five fields of cron, read in `zone` (a name of the IANA time zone database).
    Column("cron", String(200), nullable=False),
    Column("zone", String(100), nullable=False),
    #: A file, `folder:PATH` for the newest file of a folder, or an address.
    Column("source", Text, nullable=False),
    Column("connection", String(200), nullable=False),
    Column("options", JSON, nullable=False),
    #: What becomes of runs missed while nothing was up: `once` or `skip`.
    Column("missed", String(10), nullable=False),
    Column("created_at", Float, nullable=False),
    #: When it is due next; the run is claimed by moving this on.
    Column("next_at", Float, nullable=False),
    Column("last_at", Float, nullable=True),
    Column("last_job_id", Integer, nullable=True),
    #: Why the last run opened no job, in plain words; empty when it did.
    Column("last_error", Text, nullable=False, default=""),
    #: Where the reports of its jobs go.
    Column("report_dir", Text, nullable=False),
    #: The newest file of the folder when a due run looked first: a run waits until it has stopped growing.
    Column("look", JSON, nullable=True),
    #: Who fetches its roster; a claim like that on a batch.
    Column("owner", String(200), nullable=True),
    Column("lease_until", Float, nullable=True),
    UniqueConstraint("name"),
    Index(None, "next_at"),
)

dropped = Table(
    "dropped",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("folder", String(200), nullable=False),
    #: The file's name as it was dropped, where it lies, and where it is being moved to.
    Column("name", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("goal", Text, nullable=True),
    Column("job_id", Integer, nullable=True),
    Column("state", String(20), nullable=False),
    #: What it was when it was last seen to change, and when that was (by the database's clock).
    Column("size", BigInteger, nullable=False),
    Column("changed", Float, nullable=False),
    Column("at", Float, nullable=False),
    #: Why it has no job yet although it was claimed, in plain words.
    Column("error", Text, nullable=False, default=""),
    Index(None, "state"),
    Index(None, "job_id"),
)

message = Table(
    "message",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    #: The receiver's name in roster.toml, and what the message is about.
    Column("receiver", String(200), nullable=False),
    Column("event", String(40), nullable=False),
    Column("connection", String(200), nullable=False),
    Column("job_id", Integer, nullable=True),
    #: Tells the same event apart from an earlier one, so that nothing is told twice.
    Column("mark", String(200), nullable=False),
    #: When it was put here.
    Column("at", Float, nullable=False),
    #: When it is sent next; whoever claims it moves this on by the length of a lease.
    Column("not_before", Float, nullable=False),
    #: Counts the claims; what an older claim has to say is void.
    Column("attempts", Integer, nullable=False, default=0),
    #: Null while it is still to be sent.
    Column("ended_at", Float, nullable=True),
    Column("sent", Boolean, nullable=False, default=False),
    #: Why the last attempt came to nothing, or why it was never sent.
    Column("error", Text, nullable=False, default=""),
    UniqueConstraint("receiver", "mark"),
    Index(None, "ended_at", "not_before"),
)

account = Table(
    "account",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", String(100), nullable=False),
    Column("password", Text, nullable=False),
    #: `viewer`, `operator` or `admin`.
    Column("role", String(20), nullable=False),
    Column("created_at", Float, nullable=False),
    UniqueConstraint("name"),
)

session = Table(
    "session",
    metadata,
    #: SHA-256 of what the cookie holds.
    Column("mark", String(64), primary_key=True),
    Column("account_id", ForeignKey("account.id", ondelete="CASCADE"), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("seen_at", Float, nullable=False),
    Index(None, "account_id"),
)

token = Table(
    "token",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("account_id", ForeignKey("account.id", ondelete="CASCADE"), nullable=False),
    Column("name", String(100), nullable=False),
    #: SHA-256 of the token itself, which is shown once.
    Column("mark", String(64), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("used_at", Float, nullable=True),
    UniqueConstraint("mark"),
    Index(None, "account_id"),
)

guess = Table(
    "guess",
    metadata,
    #: `name:…` or `host:…`, of which somebody tries passwords.
    Column("about", String(200), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_at", Float, nullable=False),
    Column("locked_until", Float, nullable=True),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    #: An account's name; `-` where nobody signs in.
    Column("who", String(100), nullable=False),
    Column("act", String(60), nullable=False),
    Column("job_id", Integer, nullable=True),
    Column("detail", Text, nullable=False, default=""),
    Index(None, "at"),
    Index(None, "job_id"),
)
notice = Table(
    "notice",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("connection", String(200), nullable=False),
    #: SHA-256 of the webhook (the same one is taken once), and which of several things that it says.
    Column("mark", String(64), nullable=False),
    Column("place", Integer, nullable=False),
    #: Who was registered on what, by the LMS's ids (the candidate's hashed); null when it says nothing for certain.
    Column("candidate_key", String(64), nullable=True),
    Column("course_id", String(200), nullable=True),
    Column("legal_entity_id", String(200), nullable=True),
    Column("lms_registration_id", String(200), nullable=True),
    Column("at", Float, nullable=False),
    #: `waiting`, `settled`, `confirmed` or `ignored`.
    Column("fate", String(20), nullable=False),
    UniqueConstraint("connection", "mark", "place"),
    Index(None, "fate", "at"),
)
