"""How a row's status and a job's state are shown, and what to do next. The one table of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from worker.model import JobState, Relation, RowStatus, Verdict
from worker.quantities import counted as counted  # noqa: PLC0414 - part of the labels, for who prints them
from worker.reports.kinds import ReportKind
from worker.reports.lines import Summary, utc_text

#: A class of the page's style sheet.
Tone = Literal["good", "bad", "warn", "busy", "quiet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StateInfo:
    """How a job's state is shown."""

    label: str
    meaning: str
    tone: Tone
    #: A sign next to the label, for those who do not see the colour.
    sign: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusInfo(StateInfo):
    """How a row's status is shown."""

    #: The background in the workbook: light enough for black text.
    fill: str
    #: The colour on a terminal.
    colour: Literal["green", "red", "yellow", "blue"]


def _done(label: str, meaning: str) -> StatusInfo:
    return StatusInfo(label=label, meaning=meaning, tone="good", sign="✓", fill="#E2F0D9", colour="green")


STATUS_INFO = {
    RowStatus.REGISTERED: _done("Registered", "Registered on the course by this job."),
    RowStatus.ALREADY_REGISTERED: _done("Already registered", "Already registered; nothing was sent."),
    RowStatus.APPROVED: _done("Approved", "The registration was approved."),
    RowStatus.COMPLETED: _done("Completed", "The registration was marked as completed."),
    RowStatus.WITHDRAWN: _done("Withdrawn", "The registration was withdrawn."),
    RowStatus.UPDATED: _done("Updated", "The person's data was updated."),
    RowStatus.DEACTIVATED: _done("Deactivated", "The person was deactivated."),
    RowStatus.INVALID: StatusInfo(
        label="Invalid",
        meaning="The row has an error and was not sent.",
        tone="bad",
        sign="!",
        fill="#FCE4D6",
        colour="red",
    ),
    RowStatus.REJECTED: StatusInfo(
        label="Rejected by the LMS",
        meaning="The LMS rejected the row.",
        tone="bad",
        sign="!",
        fill="#F8CBAD",
        colour="red",
    ),
    RowStatus.IN_DOUBT: StatusInfo(
        label="Unconfirmed",
        meaning="Sent, but no answer came back. Not retried until it is confirmed.",
        tone="warn",
        sign="?",
        fill="#FFE699",
        colour="yellow",
    ),
    RowStatus.NOT_ATTEMPTED: StatusInfo(
        label="Not sent",
        meaning="Not sent, or sent and certainly not received by the LMS.",
        tone="quiet",
        sign="○",
        fill="#E7E6E6",
        colour="yellow",
    ),
    RowStatus.SKIPPED: StatusInfo(
        label="Skipped",
        meaning="Left out: a duplicate of an earlier row, which has the outcome, marked as inactive by the roster "
        "itself, or hidden in the spreadsheet.",
        tone="quiet",
        sign="=",
        fill="#DDEBF7",
        colour="blue",
    ),
}

#: A row without an outcome whose person is in the LMS: never shown as not sent.
UNREGISTERED = replace(
    STATUS_INFO[RowStatus.NOT_ATTEMPTED],
    label="Not registered",
    meaning="The person is in the LMS; the registration was not made.",
    tone="warn",
    sign="◐",
    fill="#FFF2CC",
)


def shown_counts(summary: Summary) -> list[tuple[RowStatus, StatusInfo, int]]:
    """Return how many rows have each status that occurs, with how it is shown.

    Rows that were not attempted are two lines: those whose person is in the LMS, and those of which nothing is.
    """
    lines: list[tuple[RowStatus, StatusInfo, int]] = []
    for status in RowStatus:
        if status is RowStatus.NOT_ATTEMPTED:
            lines += [(status, UNREGISTERED, summary.unsent_created + summary.unsent_found)]
            lines += [(status, STATUS_INFO[status], summary.unsent)]
        else:
            lines.append((status, STATUS_INFO[status], summary.by_status.get(status, 0)))
    return [line for line in lines if line[2]]


def _state(label: str, meaning: str, tone: Tone, sign: str) -> StateInfo:
    return StateInfo(label=label, meaning=meaning, tone=tone, sign=sign)


_UNSENT = "The remaining rows were not sent"
STATE_INFO = {
    JobState.UPLOADED: _state("Received", "The roster is saved and will be read in a moment.", "busy", "…"),
    JobState.VALIDATING: _state("Reading", "The roster is being read and checked.", "busy", "…"),
    JobState.INVALID: _state("File rejected", "Nothing was sent. The roster must be fixed first.", "bad", "!"),
    JobState.SCHEDULED: _state("Scheduled", "The job starts at its scheduled time.", "quiet", "◷"),
    JobState.QUEUED: _state("Queued", "The job starts as soon as a worker is free.", "busy", "…"),
    JobState.RUNNING: _state("Running", "The rows are being sent.", "busy", "▸"),
    JobState.WAITING: _state("Waiting", "No call may go just now. The job resumes automatically.", "warn", "◷"),
    JobState.PAUSED: _state("Paused", "Nothing is sent until someone resumes the job.", "warn", "‖"),
    JobState.HELD: _state("Action needed", "Stopped automatically. Fix the cause, then resume.", "bad", "!"),
    JobState.CANCELLING: _state("Cancelling", "Calls in progress finish; nothing new is sent.", "warn", "…"),
    JobState.CANCELLED: _state("Cancelled", f"{_UNSENT}.", "quiet", "✕"),
    JobState.SUCCEEDED: _state("Completed", "Every row is done.", "good", "✓"),
    JobState.COMPLETED_WITH_ERRORS: _state(
        "Completed with errors", "The job has ended, and some rows are not done.", "warn", "!"
    ),
    JobState.FAILED: _state("Failed", f"The job stopped and does not resume by itself. {_UNSENT}.", "bad", "!"),
    JobState.UNDONE: _state("Undone", "All that the job registered was withdrawn by a later job.", "quiet", "↶"),
}


def state_meaning(summary: Summary) -> str:
    """Return what the state of a job means for its rows."""
    skipped = summary.by_status.get(RowStatus.SKIPPED, 0)
    if summary.state is JobState.SUCCEEDED and skipped:
        return "Every row is done or was skipped." if summary.done else "Every row was skipped; nothing was sent."
    if summary.state is JobState.CANCELLED and not summary.by_status.get(RowStatus.NOT_ATTEMPTED, 0):
        is_read = summary.total > 0
        return "No row was left to send." if is_read else "Cancelled before its rows were read; nothing was sent."
    meaning = STATE_INFO[summary.state].meaning
    if summary.unsent_created + summary.unsent_found:
        return meaning.replace(_UNSENT, f"{_UNSENT}, or their people not registered")
    return meaning


#: What to do about a job in a state from which it does not end by itself, or not yet.
_JOB_STEPS = {
    JobState.UPLOADED: "Nothing yet: the file is read in a moment. `roster status {job} --watch` follows the job.",
    JobState.VALIDATING: "Nothing yet: the file is being read. `roster status {job} --watch` follows the job.",
    JobState.INVALID: "Nothing was sent. Fix the file (or the options) as described above and run it again.",
    JobState.SCHEDULED: "Nothing yet: the job starts{when}.",
    JobState.QUEUED: "Nothing yet: the job starts as soon as a worker is free.",
    JobState.RUNNING: "Nothing yet: the job has not ended. `roster report {job}` writes a report of what is done.",
    JobState.WAITING: "Nothing yet: the job resumes automatically{when}.",
    JobState.PAUSED: "Run `roster resume {job}` to continue the job.",
    JobState.HELD: "Fix what stopped the job (see the reason above), then run `roster resume {job}`.",
    JobState.CANCELLING: "Nothing yet: calls in progress finish, then the job is cancelled.",
    JobState.UNDONE: "The job is undone. To register its people again, run its file again.",
}
_RELATIONS = {
    Relation.UNDONE_BY: "undone by",
    Relation.UNDOES: "undoes",
    Relation.FIXES: "fixes rows of",
    Relation.FIXED_BY: "fixed by",
    Relation.REPEATS: "repeats",
}


#: How a relation reads while the job that undoes or fixes has withdrawn or settled nothing.
_WITHOUT_EFFECT = {
    Relation.UNDONE_BY: "undo opened as",
    Relation.UNDOES: "opened to undo",
    Relation.FIXES: "has rows of",
    Relation.FIXED_BY: "rows are again in",
}


def relations_of(summary: Summary) -> list[tuple[str, int]]:
    """Return the relations of a job: how each reads, and the number of the other job: `undone by`, 5."""
    texts: list[tuple[str, int]] = []
    for relation, text in _RELATIONS.items():
        idle = summary.related_without_effect.get(relation, ())
        is_partly = relation is Relation.UNDONE_BY and summary.state is not JobState.UNDONE
        shown = "partly undone by" if is_partly else text
        texts += [(shown, other) for other in summary.related.get(relation, ()) if other not in idle]
        texts += [(_WITHOUT_EFFECT[relation], other) for other in idle]
    return texts


def related_texts(summary: Summary) -> list[str]:
    """Return the relations of a job as people read them: `undone by job 5`."""
    return [f"{text} job {other}" for text, other in relations_of(summary)]


def waiting_elsewhere_text(count: int, job: int) -> str:
    """Return the sentence about rows that another job, which has not ended, is to send too."""
    what = "1 of these rows is" if count == 1 else f"{count:,} of these rows are"
    them = "it" if count == 1 else "them"
    return f"{what} also in job {job}, which has not ended; the job that comes first sends {them}"


def next_steps(summary: Summary, failed_csv: str) -> tuple[str, ...]:
    """Return what a person should do now, most urgent first; `failed_csv` is the file with the rows not done."""
    if summary.is_purged and not summary.state.is_moving:
        steps = _for_purged_rows(summary)
    else:
        steps = [*_for_the_job(summary), *_for_the_rows(summary, failed_csv)]
    return tuple(steps or _nothing_to_do(summary))


def _for_the_job(summary: Summary) -> list[str]:
    step = _JOB_STEPS.get(summary.state)
    when = " at its scheduled time" if summary.state is JobState.SCHEDULED else ""
    when = f" at {utc_text(summary.not_before)}" if summary.not_before is not None else when
    return [step.format(job=summary.job, when=when)] if step else []


def _nothing_to_do(summary: Summary) -> list[str]:
    if summary.state is JobState.UNDONE:
        return _for_the_job(summary)
    if not summary.total:
        return ["No rows were read. Run the file again if its people are to be registered."]
    if sum(summary.settled.values()):
        return ["Nothing: later jobs have settled the rows that are not done here."]
    skipped = " or were skipped" if summary.by_status.get(RowStatus.SKIPPED, 0) else ""
    return [f"All rows are done{skipped}."] if summary.done else ["There was nothing to send."]


def _for_the_rows(summary: Summary, failed_csv: str) -> list[str]:
    if summary.state.is_moving:
        return []
    job = summary.job
    counts = {status: count - summary.settled.get(status, 0) for status, count in summary.by_status.items()}
    steps = []
    if unconfirmed := counts.get(RowStatus.IN_DOUBT, 0):
        steps.append(
            f"{_rows(unconfirmed, 'is', 'are')} unconfirmed: look up each person in the LMS, then say what you "
            f"found with `roster resolve {job} ROW --registration-id ID` (or `--candidate-id ID`, or `--absent`)."
        )
    invalid, rejected = counts.get(RowStatus.INVALID, 0), counts.get(RowStatus.REJECTED, 0)
    if invalid or rejected:
        steps.append(
            f"{_to_be_fixed(invalid, rejected)}. Fix {'it' if invalid + rejected == 1 else 'them'} in {failed_csv} "
            "(see the `_error` column), then run that file. Rows already done are not sent again."
        )
    if differing := (summary.verified or {}).get(Verdict.DIFFERS, 0):
        file = next(
            (path for path in summary.reports if path.endswith(f".{ReportKind.DIFFERS}")), "the .differs.csv"
        )
        steps.append(
            f"{_rows(differing, 'differs', 'differ')} from the LMS: see {file} (its `_error` column says how). "
            "To change the LMS back, run that file with `--again`; nothing is sent automatically."
        )
    is_retriable = summary.state.has_ended and summary.state not in {JobState.INVALID, JobState.UNDONE}
    if counts.get(RowStatus.NOT_ATTEMPTED, 0) and is_retriable:
        # After `roster resolve`, which says so too.
        command = "resume" if summary.state.went_through else "retry"
        steps.append(f"Run `roster {command} {job}` to send the remaining rows.")
    return steps


def _to_be_fixed(invalid: int, rejected: int) -> str:
    """Return how many rows have an error and were not sent, and how many the LMS rejected."""
    was_rejected = f"{_rows(rejected, 'was', 'were')} rejected"
    if not invalid:
        return was_rejected
    is_invalid = f"{_rows(invalid, 'is', 'are')} invalid"
    return f"{is_invalid}, {was_rejected}" if rejected else is_invalid


def _for_purged_rows(summary: Summary) -> list[str]:
    if not summary.not_done:
        return []
    not_done = _rows(summary.not_done, "was", "were")
    deleted = "the rows of this job were deleted (retention period over)"
    return [
        f"{not_done} not done, and {deleted}: run the original file again. Rows already done are not sent again."
    ]


def _rows(count: int, one: str, several: str) -> str:
    return f"{counted(count, 'row')} {one if count == 1 else several}"


def verdict_counts(verified: Mapping[Verdict, int]) -> str:
    """Return what comparing the done rows with the LMS showed: `40 confirmed, 2 differ`."""
    shown = {
        Verdict.CONFIRMED: ("confirmed", "confirmed"),
        Verdict.DIFFERS: ("differs", "differ"),
        Verdict.CANNOT_BE_VERIFIED: ("cannot be verified", "cannot be verified"),
    }
    counts = [
        f"{verified[verdict]:,} {one if verified[verdict] == 1 else several}"
        for verdict, (one, several) in shown.items()
        if verified.get(verdict, 0)
    ]
    return ", ".join(counts) or "no row"


def duration_text(seconds: float) -> str:
    """Return a duration for people: `1 h 2 min`, `3 min 5 s`, `0.8 s`."""
    if seconds < 10:  # noqa: PLR2004 - below that a tenth matters
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
