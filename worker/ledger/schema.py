"""The tables of the ledger. `migrations/` builds the same; a test holds them together.

A **candidate** and a **registration** have one line per connection, however many rows and jobs name them: that is
what keeps anybody from being created or registered twice. A **row** says what became of one line of one roster.
Times are seconds since 1970 (UTC), as floats, so that SQLite and PostgreSQL compare them alike.
"""

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
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


__all__ = [
    "account",
    "audit",
    "batch",
    "call",
    "candidate",
    "dropped",
    "guess",
    "job",
    "memory",
    "message",
    "metadata",
    "notice",
    "person",
    "registration",
    "row",
    "schedule",
    "session",
    "token",
]

job = Table(
    "job",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("connection", String(200), nullable=False),
    Column("system", String(50), nullable=False),
    #: The file's name as it was dropped.
    Column("roster", Text, nullable=False),
    #: Where the file is kept, for reading again after a crash.
    Column("kept_at", Text, nullable=False),
    #: SHA-256 of the bytes and of the options that change what is sent.
    Column("fingerprint", String(64), nullable=False),
    Column("options", JSON, nullable=False),
    Column("state", String(30), nullable=False),
    #: Why the job is where it is, in plain words.
    Column("reason", Text, nullable=False, default=""),
    Column("not_before", Float, nullable=True),
    Column("headings", JSON, nullable=False, default=list),
    #: Our column for each heading, or null.
    Column("columns", JSON, nullable=False, default=list),
    Column("notes", JSON, nullable=False, default=list),
    Column("report_dir", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float, nullable=True),
    Column("finished_at", Float, nullable=True),
    Column("rate_limited", Integer, nullable=False, default=0),
    Column("waited_seconds", Float, nullable=False, default=0.0),
    Column("bisected_batches", Integer, nullable=False, default=0),
    Column("busy_seconds", Float, nullable=False, default=0.0),
    #: Who works it off: `queue` for the workers behind the broker, `process` for a command in its own process.
    Column("driver", String(10), nullable=False, default="process", server_default="process"),
    #: Whether its people were looked for and its rows are in batches.
    Column("planned", Boolean, nullable=False, default=False, server_default=false()),
    #: Who reads it in and looks for its people; a claim like that on a batch.
    Column("owner", String(200), nullable=True),
    Column("lease_until", Float, nullable=True),
    #: When the queue was last asked to read it in, or to write its reports.
    Column("rung_at", Float, nullable=True),
    #: When its reports were last written by the queue.
    Column("reported_at", Float, nullable=True),
    #: When the personal data of its rows was removed.
    Column("purged_at", Float, nullable=True),
    #: Through which door it came: `command`, `page`, `api`, `folder:NAME`, `schedule:NAME`.
    Column("origin", String(250), nullable=False, default="command", server_default="command"),
    #: Who dropped it, where people sign in.
    Column("dropped_by", String(100), nullable=True),
    #: The reason as a code, where one is known (`credentials_refused`, …).
    Column("reason_code", String(60), nullable=True),
    #: When it came into its state, and of which such moment messages were put into the outbox.
    Column("state_at", Float, nullable=True),
    Column("told_at", Float, nullable=True),
    #: When rows of it were last read back at the LMS.
    Column("verified_at", Float, nullable=True),
    Index(None, "connection", "fingerprint"),
    Index(None, "state"),
)

call = Table(
    "call",
    metadata,
    Column("job_id", ForeignKey("job.id", ondelete="CASCADE"), primary_key=True),
    Column("operation", String(50), primary_key=True),
    Column("calls", Integer, nullable=False),
)

candidate = Table(
    "candidate",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("connection", String(200), nullable=False),
    #: SHA-256 of `id:…`, `ext:…` or `mail:…`, the first that the roster gives: who this is.
    Column("key", String(64), nullable=False),
    #: The same hashes one by one, for finding the candidate by another of them.
    Column("id_key", String(64), nullable=True),
    Column("external_key", String(64), nullable=True),
    Column("email_key", String(64), nullable=True),
    Column("state", String(20), nullable=False),
    Column("lms_id", String(200), nullable=True),
    #: The job and the row for which a creation was sent; the row also of a later change.
    Column("job_id", Integer, nullable=True),
    Column("row_id", Integer, nullable=True),
    Column("sent_at", Float, nullable=True),
    #: What is `sending` or in doubt (`update`, `deactivate`); null when it is the creation.
    Column("doing", String(20), nullable=True),
    #: The batch that works on it; nobody else may send anything for it meanwhile.
    Column("claimed_by", String(40), nullable=True),
    UniqueConstraint("connection", "key"),
    Index(None, "connection", "id_key"),
    Index(None, "connection", "external_key"),
    Index(None, "connection", "email_key"),
    Index(None, "claimed_by"),
)

registration = Table(
    "registration",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("connection", String(200), nullable=False),
    Column("candidate_id", ForeignKey("candidate.id"), nullable=False),
    Column("course_key", String(400), nullable=False),
    Column("state", String(20), nullable=False),
    Column("lms_id", String(200), nullable=True),
    #: The hash of the external id that a roster gave it, once the LMS has shown it under that id.
    Column("external_key", String(64), nullable=True),
    #: Our own id for it at an LMS that takes one; counts on when a withdrawn one is registered again.
    Column("series", Integer, nullable=False, default=0),
    #: The job that registered it, or sent it last.
    Column("job_id", Integer, nullable=True),
    Column("row_id", Integer, nullable=True),
    Column("sent_at", Float, nullable=True),
    #: What is `sending` or in doubt (`approve`, `complete`, `withdraw`); null when it is the registration itself.
    Column("doing", String(20), nullable=True),
    Column("claimed_by", String(40), nullable=True),
    UniqueConstraint("connection", "course_key", "candidate_id"),
    Index(None, "candidate_id"),
    Index(None, "connection", "external_key"),
    Index(None, "claimed_by"),
)

batch = Table(
    "batch",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("job_id", ForeignKey("job.id", ondelete="CASCADE"), nullable=False),
    Column("course_key", String(400), nullable=False),
    #: What its rows ask for, all of them the same.
    Column("action", String(20), nullable=False, default="register", server_default="register"),
    #: The first call for its course goes alone.
    Column("canary", Boolean, nullable=False),
    Column("state", String(20), nullable=False),
    Column("owner", String(200), nullable=True),
    #: Counts the claims; a result of an older claim is void.
    Column("epoch", Integer, nullable=False, default=0),
    Column("lease_until", Float, nullable=True),
    Column("not_before", Float, nullable=True),
    #: How many workers died while they held it.
    Column("deaths", Integer, nullable=False, default=0, server_default="0"),
    #: When the queue was last asked to work it off; null when it was not, or somebody has come.
    Column("rung_at", Float, nullable=True),
    Index(None, "job_id", "state"),
    Index(None, "state", "lease_until"),
)

row = Table(
    "row",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("job_id", ForeignKey("job.id", ondelete="CASCADE"), nullable=False),
    #: The number that the spreadsheet shows.
    Column("row", Integer, nullable=False),
    Column("cells", JSON, nullable=False),
    #: The row as it was understood (`worker.model.RosterRow` as JSON); null when invalid.
    Column("parsed", Text, nullable=True),
    Column("candidate_id", ForeignKey("candidate.id"), nullable=True),
    Column("registration_id", ForeignKey("registration.id"), nullable=True),
    Column("batch_id", Integer, nullable=True),
    Column("course_key", String(400), nullable=True),
    Column("action", String(20), nullable=False, default="register", server_default="register"),
    Column("status", String(30), nullable=False),
    Column("error", Text, nullable=False, default=""),
    Column("error_code", String(60), nullable=False, default=""),
    Column("column", Text, nullable=False, default=""),
    Column("created", Boolean, nullable=False, default=False),
    #: Calls that were sent for this row and may have changed something.
    Column("attempts", Integer, nullable=False, default=0),
    Column("http_status", Integer, nullable=True),
    Column("changed_at", Float, nullable=True),
    #: The LMS's id of the registration, as it answered.
    Column("lms_registration_id", String(200), nullable=True),
    #: What reading it back at the LMS showed (`confirmed`, `differs`, `cannot_be_verified`), and when.
    Column("verified", String(20), nullable=True),
    Column("verified_at", Float, nullable=True),
    UniqueConstraint("job_id", "row"),
    Index(None, "job_id", "status"),
    Index(None, "batch_id"),
    Index(None, "candidate_id"),
    Index(None, "registration_id"),
)

person = Table(
    "person",
    metadata,
    Column("connection", String(200), primary_key=True),
    Column("lms_id", String(200), primary_key=True),
    Column("external_key", String(64), nullable=True),
    Column("email_key", String(64), nullable=True),
    Column("login_key", String(64), nullable=True),
    Index(None, "connection", "external_key"),
    Index(None, "connection", "email_key"),
    Index(None, "connection", "login_key"),
)

memory = Table(
    "memory",
    metadata,
    #: What is remembered between runs: `pace:<credential>`, `people:<connection>`, `map:<name>`.
    Column("name", String(300), primary_key=True),
    Column("value", JSON, nullable=False),
    Column("at", Float, nullable=False),
)
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
