"""The models of the API's requests and responses; the OpenAPI description is made from them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from worker.model import HiddenRows, JobState

#: No spreadsheet has more rows.
MAX_ROW = 999_999_999


class ApiModel(BaseModel):
    """A request or response body; it has these keys and no others."""

    model_config = ConfigDict(extra="forbid")


class Created(ApiModel):
    """The job that was opened for a roster, or the open job that already has the same roster."""

    id: int


class Summary(ApiModel):
    """The state of a job; `total` is always the sum over `by_status`."""

    job: int
    roster: str = Field(description="The name of the uploaded file.")
    connection: str
    state: JobState
    total: int
    by_status: dict[str, int] = Field(description="Every status, zeros included.")
    stages: dict[str, int] = Field(description="Every stage of the rows that are not done, zeros included.")
    candidates_created: int
    registrations_created: int
    calls: dict[str, int] = Field(description="Calls to the LMS, by operation.")
    rate_limited: int = Field(description="Responses in which the LMS asked to slow down.")
    waited_seconds: float
    bisected_batches: int
    started_at: str | None
    finished_at: str | None
    duration_seconds: float | None
    reports: list[str] = Field(description="Addresses of the report's files.")
    reason: str | None = Field(description="Why the job is in this state, in a sentence.")
    not_before: str | None = Field(description="When a waiting or scheduled job continues.")
    warnings: list[str]
    related: dict[str, list[int]] = Field(
        description="Other jobs: undone_by, undoes, fixes, fixed_by, repeats; each is there, also when it is empty."
    )
    open_rows: int = Field(description="Rows that still need somebody, less those settled by a later job.")
    verified: dict[str, int] | None = Field(description="The result of verifying the done rows at the LMS.")


class Problem(ApiModel):
    """A problem of rows, and how many have it."""

    code: str
    column: str | None = Field(description="Null: of the row as a whole.")
    rows: int


class SkippedRow(ApiModel):
    """A row that is not sent."""

    row: int
    repeats: int | None = Field(description="The row that it repeats; null: its source marks it as inactive.")


class Check(Summary):
    """What a roster would do; nothing was sent, and there is no job."""

    job: None = None  # type: ignore[assignment]
    state: None = None  # type: ignore[assignment]
    would_send: int = Field(description="Rows for which something would be sent.")
    planned_calls: int = Field(description="Calls to the LMS at most.")
    planned_seconds: float | None = Field(description="How long they take at the known pace, if there is one.")
    problems: list[Problem]
    skipped: list[SkippedRow]


class ResumeRequest(ApiModel):
    """How a job continues."""

    course: str | None = Field(
        default=None,
        max_length=200,
        description="Another course for the rows that are not done: 58, name:Fire Safety or ext:C-58.",
    )


class RetryRequest(ApiModel):
    """Which rows a retry sends besides those that were never sent."""

    rejected: bool = Field(default=False, strict=True, description="Also those that the LMS rejected.")


class Progress(Summary):
    """The summary in an event."""

    calls_made: int = Field(description="Calls since the job was last started or resumed.")
    calls_left: int | None = Field(description="Calls that are left at most.")
    rate: float | None = Field(description="Calls per second, configured or measured.")
    rows_per_second: float | None
    seconds_left: int | None = Field(
        description="Seconds until the job has ended, by what the LMS allows; while `rate` is null, at the speed "
        "so far, which the LMS may yet limit. Null while it is not known."
    )


class ConnectionInfo(ApiModel):
    """A connection of roster.toml, without its secrets."""

    name: str
    system: str
    base_url: str | None
    actions: list[str] = Field(description="The actions that a row may request.")
    problem: str | None = Field(description="What to fix before it can be used.")


class Health(ApiModel):
    """Whether the ledger (the database) can be read."""

    ledger: Literal["ok", "away"]


class SourceProblem(ApiModel):
    """What is wrong with the source of a schedule."""

    code: str
    reason: str
    since: str


class ScheduleInfo(ApiModel):
    """A schedule, its source without secrets."""

    name: str
    cron: str
    zone: str
    source: str
    connection: str
    options: dict[str, Any]
    missed: Literal["once", "skip"]
    expect_by: str | None
    ignore_unchanged: bool
    report: str | None = Field(description="Where its reports are written; null: they are only downloaded.")
    paused_at: str | None
    next_at: str | None = Field(description="Null while it is paused.")
    last_at: str | None
    last_job: int | None
    last_error: str | None = Field(description="Why the last run opened no job.")
    problem: SourceProblem | None = Field(description="What is wrong with its source now.")
    last_file_at: str | None


class ScheduleOptions(ApiModel):
    """The options of the rosters of a schedule: the fields of `POST /api/jobs`."""

    course: str | None = Field(default=None, max_length=200)
    set: list[str] | None = Field(default=None, description="COLUMN=VALUE; replaces all earlier ones.")
    sheet: str | None = Field(default=None, max_length=200)
    heading_row: int | None = Field(default=None, ge=1, le=MAX_ROW)
    hidden_rows: HiddenRows | None = None
    map: list[str] | None = Field(default=None, description="Heading=column; replaces all earlier ones.")
    use_map: str | None = Field(default=None, max_length=200)
    encoding: str | None = Field(default=None, max_length=50)
    strict: bool | None = Field(default=None, strict=True)
    again: bool | None = Field(default=None, strict=True)
    update_existing: bool | None = Field(default=None, strict=True)
    start_row: int | None = Field(default=None, ge=1, le=MAX_ROW)
    max_rows: int | None = Field(default=None, ge=1, le=MAX_ROW)


class NewSchedule(ScheduleOptions):
    """A schedule to add."""

    name: str = Field(min_length=1, max_length=200, pattern=r"^[^/\x00-\x1f]+$")
    cron: str = Field(max_length=200, description="Minute, hour, day, month, weekday; or @daily.")
    zone: str | None = Field(default=None, max_length=100, description="Default: the server's time zone.")
    source: str = Field(max_length=2000, description="A file of the server, folder:PATH, or an address.")
    connection: str | None = Field(default=None, description="Optional when only one is configured.")
    missed: Literal["once", "skip"] = "once"
    expect_by: str | None = Field(default=None, max_length=200, description="07:00, or MON-FRI 07:00.")
    ignore_unchanged: bool = Field(default=False, strict=True)


class ScheduleEdit(ScheduleOptions):
    """What is to be changed: the fields that are given; null takes an option out."""

    cron: str | None = Field(default=None, max_length=200)
    zone: str | None = Field(default=None, max_length=100)
    source: str | None = Field(default=None, max_length=2000)
    connection: str | None = None
    missed: Literal["once", "skip"] | None = None
    expect_by: str | None = Field(default=None, max_length=200)
    ignore_unchanged: bool | None = Field(default=None, strict=True)


class RowResolution(ApiModel):
    """What a person found at the LMS for a row in doubt; exactly one of the three."""

    candidate_id: str | None = Field(default=None, min_length=1, max_length=200)
    registration_id: str | None = Field(default=None, min_length=1, max_length=200)
    absent: bool = Field(default=False, strict=True)


class ProblemDetails(BaseModel):
    """What is wrong and what to do (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


class NewJob(ApiModel):
    """A roster and its options; `set` and `map` may be repeated."""

    connection: str | None = Field(default=None, description="Optional when only one is configured.")
    course: str | None = Field(
        default=None, description="The default course, for rows without one: 58, name:Fire Safety or ext:C-58."
    )
    set: list[str] | None = Field(default=None, description="COLUMN=VALUE: a default value for empty cells.")
    sheet: str | None = None
    hidden_rows: HiddenRows | None = Field(
        default=None, description="Rows hidden in the spreadsheet; without it such a roster is refused."
    )
    heading_row: int | None = Field(default=None, ge=1, description="The row of the headings; found by default.")
    map: list[str] | None = Field(default=None, description="Heading=column.")
    use_map: str | None = None
    save_map: str | None = None
    encoding: str | None = None
    strict: bool | None = Field(default=None, description="All or nothing: send nothing if any row has an error.")
    again: bool | None = None
    update_existing: bool | None = None
    start_row: int | None = Field(default=None, ge=1)
    max_rows: int | None = Field(default=None, ge=1)
    at: str | None = Field(default=None, description="When to start; now if left out.")
    file: bytes = Field(
        description="The roster.", json_schema_extra={"contentMediaType": "application/octet-stream"}
    )
