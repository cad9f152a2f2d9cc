"""The plain words of a report: what a status and a state mean, and what to do next. Knows no file format."""

from __future__ import annotations

from collections.abc import Mapping

from worker.model import DONE, JobState, RowStatus, Verdict
from worker.reports.kinds import ReportKind
from worker.reports.lines import Summary, stamp

#: The rows of `<roster>.failed.csv`: not done, and worth dropping again. `skipped` is not among them: the row that
#: it repeats carries its outcome, and stands in the file itself when it failed.
NOT_DONE_IN_FAILED = frozenset(RowStatus) - DONE - {RowStatus.SKIPPED}

STATUS_MEANS = {
    RowStatus.REGISTERED: "Registered on the course by this job.",
    RowStatus.ALREADY_REGISTERED: "Was registered on the course before; nothing was sent twice.",
    RowStatus.APPROVED: "The registration was approved.",
    RowStatus.COMPLETED: "The registration was marked as completed.",
    RowStatus.WITHDRAWN: "The registration was withdrawn.",
    RowStatus.UPDATED: "The candidate was updated.",
    RowStatus.DEACTIVATED: "The candidate was deactivated.",
    RowStatus.INVALID: "We refused the row before anything was sent; `_error` says why.",
    RowStatus.REJECTED: "The LMS refused the row; `_error` has its words.",
    RowStatus.IN_DOUBT: "A call was sent and nobody knows whether it had its effect; it is not repeated blindly.",
    RowStatus.NOT_ATTEMPTED: "Nothing was sent for the row.",
    RowStatus.SKIPPED: "Repeats an earlier row of this roster, which carries the outcome.",
}

STATE_MEANS = {
    JobState.UPLOADED: "The roster is kept and not yet read.",
    JobState.VALIDATING: "The roster is being read and checked.",
    JobState.INVALID: "The roster must be mended; nothing was sent.",
    JobState.SCHEDULED: "The job waits for its time.",
    JobState.QUEUED: "The job waits for its turn.",
    JobState.RUNNING: "The job is at work; this report says how far it is.",
    JobState.WAITING: "The LMS asked for a pause; the job goes on by itself.",
    JobState.PAUSED: "Somebody paused the job.",
    JobState.HELD: "The job stopped and waits for a person.",
    JobState.CANCELLING: "The job is being cancelled; calls in flight finish.",
    JobState.CANCELLED: "The job was cancelled.",
    JobState.SUCCEEDED: "Every row is done.",
    JobState.COMPLETED_WITH_ERRORS: "The job has ended, and some rows are not done.",
    JobState.FAILED: "The job stopped and will not go on; rows without an outcome were not attempted.",
}

_GOES_ON = {JobState.QUEUED, JobState.RUNNING, JobState.WAITING, JobState.SCHEDULED, JobState.CANCELLING}


def next_steps(summary: Summary, failed_csv: str) -> tuple[str, ...]:
    """Return what a person should do now, most urgent first; never empty."""
    steps = [*_for_the_job(summary), *_for_the_rows(summary, failed_csv)]
    return tuple(steps) or ("Nothing: there is nothing left to do.",)


def _for_the_job(summary: Summary) -> list[str]:
    if summary.state is JobState.WAITING and summary.not_before is not None:
        return [f"Nothing yet: the job goes on by itself at {stamp(summary.not_before)}."]
    if summary.state in _GOES_ON:
        return [f"Nothing yet: the job has not ended. `roster report {summary.job}` writes the report again."]
    if summary.state is JobState.HELD:
        return [f"Mend what stopped the job (see the reason above), then `roster resume {summary.job}`."]
    if summary.state is JobState.INVALID:
        return ["Mend the roster (or the options) as the message says, then drop it again; nothing was sent."]
    if summary.state is JobState.PAUSED:
        return [f"`roster resume {summary.job}` lets the job go on."]
    return []


def _for_the_rows(summary: Summary, failed_csv: str) -> list[str]:
    counts = summary.by_status
    steps = []
    if doubtful := counts.get(RowStatus.IN_DOUBT, 0):
        steps.append(
            f"{_rows(doubtful)} in doubt: look each person up in the LMS, then say what you found with "
            f"`roster resolve {summary.job} ROW --registration-id ID` (or `--candidate-id ID`, or `--absent`)."
        )
    if faulty := counts.get(RowStatus.INVALID, 0) + counts.get(RowStatus.REJECTED, 0):
        steps.append(
            f"{_rows(faulty)} refused: mend the cells in {failed_csv} (its `_error` column says what is wrong) and "
            "drop that file as it is. What is done already is not sent again."
        )
    if differing := (summary.verified or {}).get(Verdict.DIFFERS, 0):
        file = next(
            (path for path in summary.reports if path.endswith(f".{ReportKind.DIFFERS}")), "the .differs.csv"
        )
        steps.append(
            f"{_rows(differing)} otherwise at the LMS than said here: see {file} (its `_error` column says how). "
            "Drop that file with `--again` where it should be as the rows say; by itself nothing is sent."
        )
    if counts.get(RowStatus.NOT_ATTEMPTED, 0) and summary.state in {JobState.CANCELLED, JobState.FAILED}:
        steps.append(f"`roster retry {summary.job}` sends the rows that were never sent.")
    return steps


def verified_in_words(verified: Mapping[Verdict, int]) -> str:
    """Return what reading the done rows back at the LMS showed."""
    return ", ".join(f"{verified.get(verdict, 0):,} {verdict.value.replace('_', ' ')}" for verdict in Verdict)


def _rows(count: int) -> str:
    return "1 row is" if count == 1 else f"{count:,} rows are"
