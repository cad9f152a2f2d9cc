"""The models of the API's requests and responses; the OpenAPI description is made from them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from worker.model import HiddenRows, JobState


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
    seconds_left: int | None


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
