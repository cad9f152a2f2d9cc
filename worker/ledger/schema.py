"""The tables of the ledger. `migrations/` builds the same; a test compares them.

A **candidate** and a **registration** have one record per connection, however many rows and jobs name them: this is
why no person is created or registered twice. A **row** is one row of one roster, with its outcome.
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
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
job = Table(
    "job",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("connection", String(200), nullable=False),
    Column("system", String(50), nullable=False),
    #: The name of the uploaded file.
    Column("roster", Text, nullable=False),
    #: Where the file is stored.
    Column("stored_path", Text, nullable=False),
    #: SHA-256 of the bytes and of the options that change what is sent.
    Column("fingerprint", String(64), nullable=False),
    Column("options", JSON, nullable=False),
    Column("state", String(30), nullable=False),
    #: Why the job is in its state, as a sentence.
    Column("reason", Text, nullable=False, default=""),
    Column("not_before", Float, nullable=True),
    Column("headings", JSON, nullable=False, default=list),
    #: Our column for each heading, or null.
    Column("columns", JSON, nullable=False, default=list),
    Column("notes", JSON, nullable=False, default=list),
    Column("report_dir", Text, nullable=False),
    #: A hash of the roster's path, name and sheet: jobs in which it is the same replace each other's reports.
    Column("report_key", String(64), nullable=True),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float, nullable=True),
    Column("finished_at", Float, nullable=True),
    Column("rate_limited", Integer, nullable=False, default=0),
    Column("waited_seconds", Float, nullable=False, default=0.0),
    Column("bisected_batches", Integer, nullable=False, default=0),
    Column("busy_seconds", Float, nullable=False, default=0.0),
    #: When it was last started or resumed, and how many calls it had made by then.
    Column("run_started_at", Float, nullable=True),
    Column("calls_before_run", Integer, nullable=False, default=0, server_default="0"),
    #: What processes it: `queue` for the workers behind the broker, `process` for a command in its own process.
    Column("driver", String(10), nullable=False, default="process", server_default="process"),
    #: Whether its people are synced and its rows are in batches.
    Column("planned", Boolean, nullable=False, default=False, server_default=false()),
    #: The process that imports it and syncs its people; a claim like that on a batch.
    Column("owner", String(200), nullable=True),
    Column("lease_until", Float, nullable=True),
    #: When a message to import it, or to write its reports, was last enqueued.
    Column("enqueued_at", Float, nullable=True),
    #: When a worker last wrote its reports.
    Column("reported_at", Float, nullable=True),
    #: When the personal data of its rows was removed.
    Column("purged_at", Float, nullable=True),
    #: How it was submitted: `command`, `page`, `api`, `folder:NAME`, `schedule:NAME`.
    Column("origin", String(250), nullable=False, default="command", server_default="command"),
    #: The account that submitted it, where people sign in.
    Column("submitted_by", String(100), nullable=True),
    #: The reason as a code, where there is one (`credentials_refused`, …).
    Column("reason_code", String(60), nullable=True),
    #: When it entered its state, and the `state_at` for which notifications were added to the outbox.
    Column("state_at", Float, nullable=True),
    Column("notified_at", Float, nullable=True),
    #: When rows of it were last verified at the LMS.
    Column("verified_at", Float, nullable=True),
    Index(None, "connection", "fingerprint"),
    Index(None, "state"),
)

job_relation = Table(
    "job_relation",
    metadata,
    Column("job_id", ForeignKey("job.id", ondelete="CASCADE"), primary_key=True),
    #: `undoes`, `fixes` or `repeats`.
    Column("kind", String(20), primary_key=True),
    Column("other_id", ForeignKey("job.id", ondelete="CASCADE"), primary_key=True),
    Index(None, "other_id"),
)

report_file = Table(
    "report_file",
    metadata,
    Column("path", Text, primary_key=True),
    #: SHA-256 of what was written; while a file is being replaced, a path has two.
    Column("digest", String(64), primary_key=True),
    #: `report_key` of the job.
    Column("report_key", String(64), nullable=False),
)

call_count = Table(
    "call_count",
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
    #: SHA-256 of `id:…`, `ext:…` or `mail:…`, the first that the roster gives.
    Column("key", String(64), nullable=False),
    #: The same hashes one by one, for finding the candidate by another of them.
    Column("id_key", String(64), nullable=True),
    Column("external_key", String(64), nullable=True),
    Column("email_key", String(64), nullable=True),
    Column("state", String(20), nullable=False),
    Column("lms_id", String(200), nullable=True),
    #: The job and the row for which a creation was sent; the row also of a later action.
    Column("job_id", Integer, nullable=True),
    Column("row_id", Integer, nullable=True),
    Column("sent_at", Float, nullable=True),
    #: The action that is `sending` or in doubt (`update`, `deactivate`); null when it is the creation.
    Column("pending_action", String(20), nullable=True),
    #: The claim that holds it; no other batch may send anything for it meanwhile.
    Column("claimed_by", String(40), nullable=True),
    UniqueConstraint("connection", "key"),
    Index(None, "connection", "id_key"),
    Index(None, "connection", "external_key"),
    Index(None, "connection", "email_key"),
    Index(None, "claimed_by"),
)

#: What a person is found by at the LMS, while a call that creates them is on its way (see `person_claims`).
person_claim = Table(
    "person_claim",
    metadata,
    Column("connection", String(200), primary_key=True),
    #: SHA-256 of a login name, an address, an external id or an id of the LMS's.
    Column("key", String(64), primary_key=True),
    Column("candidate_id", Integer, nullable=False),
    #: The claim of a batch; null when it ended with the creation in doubt.
    Column("claimed_by", String(40), nullable=True),
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
    #: The hash of its external id from a roster, once the LMS has confirmed it.
    Column("external_key", String(64), nullable=True),
    #: Part of our own id for it, at an LMS that has one; counts up when a withdrawn one is registered again.
    Column("series", Integer, nullable=False, default=0),
    #: The job that registered it, or was the last to send it where it was not known; the row of the last call.
    Column("job_id", Integer, nullable=True),
    Column("row_id", Integer, nullable=True),
    Column("sent_at", Float, nullable=True),
    #: The action that is `sending` or in doubt (`withdraw`, …; `register` when a known registration is made again);
    #: null when it is the registration itself.
    Column("pending_action", String(20), nullable=True),
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
    #: The one action of all its rows.
    Column("action", String(20), nullable=False, default="register", server_default="register"),
    #: Whether it is the first call for its course, sent alone.
    Column("canary", Boolean, nullable=False),
    Column("state", String(20), nullable=False),
    Column("owner", String(200), nullable=True),
    #: The number of claims; writes of an older claim fail.
    Column("epoch", Integer, nullable=False, default=0),
    Column("lease_until", Float, nullable=True),
    Column("not_before", Float, nullable=True),
    #: How many workers died while they had claimed it.
    Column("deaths", Integer, nullable=False, default=0, server_default="0"),
    #: When a message for it was last enqueued; null when none was, or it is claimed.
    Column("enqueued_at", Float, nullable=True),
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
    #: The parsed row (`worker.model.RosterRow` as JSON); null when it is invalid.
    Column("parsed", Text, nullable=True),
    Column("candidate_id", ForeignKey("candidate.id"), nullable=True),
    Column("registration_id", ForeignKey("registration.id"), nullable=True),
    Column("batch_id", Integer, nullable=True),
    Column("course_key", String(400), nullable=True),
    Column("action", String(20), nullable=False, default="register", server_default="register"),
    #: While the row is to be sent again, `not_attempted`; `kept_status` then has the status of its last outcome, to
    #: which the error and all else still belong.
    Column("status", String(30), nullable=False),
    Column("kept_status", String(30), nullable=True),
    Column("error", Text, nullable=False, default=""),
    Column("error_code", String(60).with_variant(Text(), "postgresql"), nullable=False, default=""),
    Column("column", Text, nullable=False, default=""),
    #: What a person should know of the row whatever its outcome is, in plain sentences.
    Column("note", Text, nullable=False, default="", server_default=text("''")),
    Column("created", Boolean, nullable=False, default=False),
    #: Changing calls that were sent for this row.
    Column("attempts", Integer, nullable=False, default=0),
    Column("http_status", Integer, nullable=True),
    Column("changed_at", Float, nullable=True),
    #: The LMS's id of the registration.
    Column("lms_registration_id", String(200), nullable=True),
    #: The row and its records as they were before a person answered for it (`worker.ledger.answers`), while the
    #: answer can be changed; null without an answer.
    Column("before_answer", JSON, nullable=True),
    #: The `series` of the known registration after which it makes another one (`--again`); null when it makes none.
    Column("repeats", Integer, nullable=True),
    #: The open row of an earlier job that it fixes, as its file says.
    Column("fixes_row_id", Integer, nullable=True),
    #: The verdict of verifying it (`confirmed`, `differs`, `cannot_be_verified`), and when.
    Column("verified", String(20), nullable=True),
    Column("verified_at", Float, nullable=True),
    UniqueConstraint("job_id", "row"),
    Index(None, "job_id", "status"),
    Index(None, "batch_id"),
    Index(None, "candidate_id"),
    Index(None, "registration_id"),
    Index(None, "fixes_row_id"),
)

person = Table(
    "person",
    metadata,
    Column("connection", String(200), primary_key=True),
    Column("lms_id", String(200), primary_key=True),
    Column("external_key", String(64), nullable=True),
    Column("email_key", String(64), nullable=True),
    Column("login_key", String(64), nullable=True),
    #: Short hashes of the parts of the names, which show only whether another name agrees.
    Column("first_name_marks", Text, nullable=True),
    Column("last_name_marks", Text, nullable=True),
    Index(None, "connection", "external_key"),
    Index(None, "connection", "email_key"),
    Index(None, "connection", "login_key"),
)

#: A key-value store for values that last between runs.
key_value = Table(
    "key_value",
    metadata,
    #: `pace:<credential>`, `people:<connection>`, `map:<name>`, `trouble:<connection>`, `sweep`.
    Column("key", String(300), primary_key=True),
    Column("value", JSON, nullable=False),
    Column("updated_at", Float, nullable=False),
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
    #: What to do about runs that were missed while Roster was down: `once` or `skip`.
    Column("missed", String(10), nullable=False),
    Column("created_at", Float, nullable=False),
    #: When it is due next, which finishing a run changes; since when it is paused, null when it is not.
    Column("next_at", Float, nullable=False),
    Column("paused_at", Float, nullable=True),
    Column("last_at", Float, nullable=True),
    Column("last_job_id", Integer, nullable=True),
    #: Why the last run opened no job, as a sentence; empty when it did.
    Column("last_error", Text, nullable=False, default=""),
    #: Where the reports of its jobs go; empty: to a folder of each job's own below `files`.
    Column("report_dir", Text, nullable=False),
    #: The newest file in the folder at the last check: a run waits until it has stopped growing.
    Column("last_seen_file", JSON, nullable=True),
    #: The process that fetches its roster; a claim like that on a batch.
    Column("owner", String(200), nullable=True),
    Column("lease_until", Float, nullable=True),
    #: By when a new file must have come, such as `07:00`; and whether an unchanged one is no problem.
    Column("expect_by", String(200), nullable=False, server_default=text("''")),
    Column("ignore_unchanged", Boolean, nullable=False, server_default=false()),
    UniqueConstraint("name"),
    Index(None, "next_at"),
)
#: Where rosters come from (`schedule:NAME`, `folder:NAME`): the last file, and what is wrong.
roster_source = Table(
    "roster_source",
    metadata,
    Column("name", String(220), primary_key=True),
    Column("connection", String(200), nullable=False),
    Column("place", String(64), nullable=False),
    #: The file seen last, when it arrived, the file of the last run; by when the next one must have come.
    Column("seen", JSON, nullable=True),
    Column("seen_at", Float, nullable=True),
    Column("imported", JSON, nullable=True),
    Column("checked_at", Float, nullable=True),
    Column("deadline_at", Float, nullable=True),
    Column("expectation", Text, nullable=False, server_default=text("''")),
    #: Null while nothing is wrong; the last problem; since when, last seen when, and which one was notified.
    Column("problem", String(40), nullable=True),
    Column("last_problem", String(40), nullable=True),
    Column("reason", Text, nullable=False, server_default=text("''")),
    Column("since", Float, nullable=True),
    Column("failing_at", Float, nullable=True),
    Column("notified_since", Float, nullable=True),
)
dropped_file = Table(
    "dropped_file",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("folder", String(200), nullable=False),
    #: The name that the file arrived with, where it is, and where it is being moved to.
    Column("name", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("target_path", Text, nullable=True),
    Column("job_id", Integer, nullable=True),
    Column("state", String(20), nullable=False),
    #: Size and time when it was last seen to change, and when that was noticed (by the database's clock).
    Column("size", BigInteger, nullable=False),
    Column("modified_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    #: Why it has no job yet although it was claimed, as a sentence.
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
    #: Identifies the event, so that a receiver gets one message about it.
    Column("dedup_key", String(200), nullable=False),
    Column("created_at", Float, nullable=False),
    #: When it is sent next; claiming it adds the length of a lease.
    Column("not_before", Float, nullable=False),
    #: The number of claims; writes of an older claim fail.
    Column("attempts", Integer, nullable=False, default=0),
    #: Null while it is still to be sent.
    Column("ended_at", Float, nullable=True),
    Column("sent", Boolean, nullable=False, default=False),
    #: Why the last attempt failed, or why it was never sent.
    Column("error", Text, nullable=False, default=""),
    #: What a message about a source of rosters says; null for one about a job.
    Column("detail", JSON, nullable=True),
    UniqueConstraint("receiver", "dedup_key"),
    Index(None, "ended_at", "not_before"),
)
account = Table(
    "account",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", String(100), nullable=False),
    #: The name folded by `ledger.accounts.fold_name`: names that fold alike are one account.
    Column("name_key", Text, nullable=True),
    Column("password", Text, nullable=False),
    #: `viewer`, `operator` or `admin`.
    Column("role", String(20), nullable=False),
    Column("created_at", Float, nullable=False),
    UniqueConstraint("name"),
    Index(None, "name_key", unique=True),
)
session = Table(
    "session",
    metadata,
    #: SHA-256 of the value of the cookie.
    Column("secret_hash", String(64), primary_key=True),
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
    #: SHA-256 of the token, which is shown once.
    Column("secret_hash", String(64), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("used_at", Float, nullable=True),
    #: From then on it is refused; null when it is valid until it is revoked.
    Column("expires_at", Float, nullable=True),
    UniqueConstraint("secret_hash"),
    Index(None, "account_id"),
    Index(None, "account_id", "name", unique=True),
)
#: Browsers in which an account has signed in.
known_browser = Table(
    "known_browser",
    metadata,
    Column("account_id", ForeignKey("account.id", ondelete="CASCADE"), primary_key=True),
    #: SHA-256 of the value of the browser's cookie.
    Column("secret_hash", String(64), primary_key=True),
    Column("seen_at", Float, nullable=False),
    Index(None, "secret_hash"),
    Index(None, "seen_at"),
)
sign_in_failure = Table(
    "sign_in_failure",
    metadata,
    #: What is counted: see `accounts.guessing`.
    Column("subject", String(200), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_at", Float, nullable=False),
    Column("locked_until", Float, nullable=True),
)
audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    #: An account's name; `-` where there is no sign-in.
    Column("actor", String(100), nullable=False),
    #: Where it came from: the caller's address, or `cli`; null in entries of older versions.
    Column("address", String(100), nullable=True),
    #: How many times in a few minutes; more than once for refusals only.
    Column("count", Integer, nullable=False, server_default="1"),
    Column("action", String(60), nullable=False),
    Column("job_id", Integer, nullable=True),
    Column("detail", Text, nullable=False, default=""),
    Index(None, "at"),
    Index(None, "job_id"),
)
webhook_event = Table(
    "webhook_event",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("connection", String(200), nullable=False),
    #: SHA-256 of the webhook's body, which is applied once, and the position of the event in it.
    Column("body_hash", String(64), nullable=False),
    Column("position", Integer, nullable=False),
    #: Who was registered on what, by the LMS's ids (the candidate's hashed); null when there was no event in it.
    Column("candidate_key", String(64), nullable=True),
    Column("course_id", String(200), nullable=True),
    Column("legal_entity_id", String(200), nullable=True),
    Column("lms_registration_id", String(200), nullable=True),
    Column("received_at", Float, nullable=False),
    #: `waiting`, `settled`, `confirmed` or `ignored`.
    Column("status", String(20), nullable=False),
    UniqueConstraint("connection", "body_hash", "position"),
    Index(None, "status", "received_at"),
)
