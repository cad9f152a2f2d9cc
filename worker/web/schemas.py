"""What the API says, as models: its description is made of them, and a test holds its answers against them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from worker.model import JobState


class Said(BaseModel):
    """Something that the API says or takes; it has these keys and no others."""

    model_config = ConfigDict(extra="forbid")


class Created(Said):
    """The job that was opened for a roster, or the one that works on it already."""

    id: int


class Summary(Said):
    """Where a job stands; `total` is the sum over `by_status`, always."""

    job: int
    roster: str = Field(description="The file's name as it was dropped.")
    connection: str
    state: JobState
    total: int
    by_status: dict[str, int] = Field(description="Every status, zeros included.")
    candidates_created: int
    registrations_created: int
    calls: dict[str, int] = Field(description="Calls to the LMS by operation.")
    rate_limited: int = Field(description="Answers by which the LMS asked to slow down.")
    waited_seconds: float
    bisected_batches: int
    started_at: str | None
    finished_at: str | None
    duration_seconds: float | None
    reports: list[str] = Field(description="Addresses of the files of its report.")
    reason: str | None = Field(description="Why the job is where it is, in a plain sentence.")
    not_before: str | None = Field(description="When a waiting job goes on.")
    warnings: list[str]
    verified: dict[str, int] | None = Field(description="What reading the done rows back at the LMS showed.")


class Progress(Summary):
    """A summary as the events tell it."""

    rate: float | None = Field(description="Calls a second that are configured or held last.")
    rows_per_second: float | None
    seconds_left: int | None


class ConnectionInfo(Said):
    """A connection of roster.toml, without its secrets."""

    name: str
    system: str
    base_url: str | None
    actions: list[str] = Field(description="What a row may ask for.")
    problem: str | None = Field(description="What must be mended before it can be used.")


class Health(Said):
    """Whether the ledger can be read."""

    ledger: Literal["ok", "away"]


class Answer(Said):
    """What a person found at the LMS for a row in doubt; exactly one of the three."""

    candidate_id: str | None = Field(default=None, min_length=1, max_length=200)
    registration_id: str | None = Field(default=None, min_length=1, max_length=200)
    absent: bool = False


class ProblemDetails(BaseModel):
    """What is wrong and what to do (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


class NewJob(Said):
    """A roster and how it is to be read and sent; `set` and `map` may be repeated."""

    connection: str | None = Field(default=None, description="May be left out when only one is configured.")
    course: str | None = Field(
        default=None, description="For rows that name no course: 58, name:Fire Safety or ext:C-58."
    )
    set: list[str] | None = Field(default=None, description="COLUMN=VALUE for rows that leave that column empty.")
    sheet: str | None = None
    map: list[str] | None = Field(default=None, description="Heading=column.")
    use_map: str | None = None
    save_map: str | None = None
    encoding: str | None = None
    strict: bool | None = Field(default=None, description="Any invalid row: nothing is sent.")
    again: bool | None = None
    update_existing: bool | None = None
    start_row: int | None = Field(default=None, ge=1)
    max_rows: int | None = Field(default=None, ge=1)
    at: str | None = Field(default=None, description="When to begin.")
    file: bytes = Field(
        description="The roster.", json_schema_extra={"contentMediaType": "application/octet-stream"}
    )
