"""The codes of the report's `_error_code` column: the meaning of each, and what to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """One code, explained to the person who reads the report."""

    code: str
    meaning: str
    remedy: str


_FIX_CELL = "Correct the cell in the file of failed rows, then run or upload that file."

_ALL = (
    # Rejected by Roster before anything is sent.
    Code(
        "missing_value",
        "A cell that this row needs is empty.",
        "Fill it in, or give all such rows a value with `--set COLUMN=VALUE`.",
    ),
    Code("invalid_email", "This is not a valid e-mail address.", _FIX_CELL),
    Code("invalid_date", "This is not a date.", "Write it as 2026-03-31, then run or upload the file again."),
    Code(
        "ambiguous_date",
        "The date can be read as day/month or as month/day, and no other date in the column shows which.",
        "Write the column's dates as 2026-03-31.",
    ),
    Code("invalid_number", "This is not a number, or not one that is allowed here.", _FIX_CELL),
    Code("invalid_id", "This is not an ID as this LMS has them.", _FIX_CELL),
    Code("invalid_choice", "The value is not one of those that are allowed; the message lists them.", _FIX_CELL),
    Code(
        "invalid_country",
        "This is not a known country.",
        "Write its English name or its two-letter code (NL), then run or upload the file again.",
    ),
    Code(
        "value_too_long",
        "The text is longer than the LMS accepts.",
        "Shorten it, then run or upload the file again.",
    ),
    Code(
        "lost_digits",
        "Excel has shortened a long number (1.23E+16), and its last digits are gone.",
        "Copy the value from its source again, with the column formatted as text.",
    ),
    Code(
        "lost_letters",
        "Letters were lost when the file was saved or converted: they are now `\ufffd` or `?`.",
        "Export the file again as CSV UTF-8 or as .xlsx, or enter the value again.",
    ),
    Code(
        "excel_error",
        "The cell contains a spreadsheet error (#N/A, #REF!, …) instead of a value.",
        "Fix the formula, or enter the value.",
    ),
    Code(
        "formula_without_value",
        "The cell contains a formula whose result was not saved in the file.",
        "Open the file in Excel, let it calculate, and save it; or paste only the values.",
    ),
    Code(
        "hidden_row",
        "The row is hidden in the spreadsheet, and hidden rows were to be left out.",
        "Nothing, if it was hidden on purpose; otherwise unhide it, then run or upload the file again.",
    ),
    Code(
        "number_format",
        "The cell's number format shows something else than its number, and Roster cannot tell what.",
        "Enter what the cell shows, with the column formatted as text.",
    ),
    Code(
        "date_cell",
        "The cell of an ID contains a date: a spreadsheet turns some IDs into dates.",
        "Enter the ID again, with the column formatted as text.",
    ),
    Code(
        "merged_cell",
        "The cell is merged with a cell of another column.",
        "Unmerge the cells in the spreadsheet and fill in each of them.",
    ),
    Code(
        "too_many_cells",
        "The row has more cells than the roster has headings, so its values may be in the wrong columns.",
        "Check for a delimiter within a value (a comma without quotation marks), or give every column a heading.",
    ),
    Code(
        "course_missing",
        "The row has no course.",
        "Fill in a course column, or set one for all such rows with `--course`.",
    ),
    Code(
        "course_column_not_supported",
        "The row names its course in a column that this LMS does not support.",
        "Use the course column that the message names.",
    ),
    Code(
        "action_not_supported",
        "This LMS does not support this action through its API.",
        "Do it in the LMS itself; leave `action` empty to register.",
    ),
    Code(
        "duplicate_row",
        "An earlier row of this roster has the same person and the same course; see the outcome there.",
        "Nothing, unless two different people share an e-mail address: then give each an `external_id`.",
    ),
    Code(
        "inactive_in_source",
        "The roster marks this row as inactive (status, deleted, enabledUser, …), so it was not sent.",
        'Nothing. If the column means something else, ignore it with `--map "Heading="`.',
    ),
    Code(
        "other_person",
        "The row's ID or address belongs to a person with another name and, for an ID, another address.",
        "Correct the ID, or the name and address. Two people at one address need an `external_id` each.",
    ),
    Code(
        "not_accepted",
        "The LMS of this connection does not accept this value; the message says why.",
        _FIX_CELL,
    ),
    Code(
        "login_name_taken",
        "Somebody else has the login name that this person has or would get, or two people of the roster would.",
        "Give another `login_name`, or the `candidate_id` if this is the same person.",
    ),
    # Rejected by the LMS.
    Code(
        "unknown_course",
        "The LMS does not have this course, or not for this account.",
        "Look up the course in the LMS, correct it in the failed rows, then run or upload them.",
    ),
    Code(
        "ambiguous_course",
        "More than one course in the LMS matches this row, and none was chosen.",
        "Set `course_id` in the failed rows, then run or upload them.",
    ),
    Code("candidate_refused", "The LMS did not create the person; its message is in `_error`.", _FIX_CELL),
    Code("registration_refused", "The LMS did not register the person; its message is in `_error`.", _FIX_CELL),
    Code(
        "ambiguous_candidate",
        "More than one person in the LMS matches this row, and none was chosen.",
        "Put the right person's ID into a `candidate_id` column, then run or upload the row.",
    ),
    Code(
        "candidate_exists",
        "The LMS did not create the person, since a similar one exists; it did not say which.",
        "Find the person in the LMS, put their ID into a `candidate_id` column, then run or upload the row.",
    ),
    Code(
        "candidate_incomplete",
        "The LMS does not have this person, and the row lacks what is needed to create them.",
        "Fill in the columns that the message names, or correct the ID that identifies the person.",
    ),
    Code(
        "unknown_candidate",
        "The LMS does not have this person; people are created only when they are registered.",
        "Correct the ID or e-mail address that identifies the person, or register them first.",
    ),
    Code(
        "not_registered",
        "The person is not registered on this course, or this account can see nothing with this external ID.",
        "Check the person and the course, or the external ID; register them first (`action` = `register`).",
    ),
    Code(
        "enrolment_inactive",
        "The person is on the course already and not active there: somebody suspended the enrolment, or its dates "
        "are over or to come. Roster did not change that.",
        "To activate it, run or upload the row with `--again`.",
    ),
    Code(
        "account_suspended",
        "The account of the person is suspended in the LMS, so they were not registered. Accounts that Roster "
        "itself deactivated are activated.",
        "Activate the account in the LMS if the person is to take the course, then run or upload the row.",
    ),
    Code(
        "registration_not_listed",
        "The LMS accepted the registration, but its list of the course does not show the person.",
        "Look up the course in the LMS, then send the rejected rows again.",
    ),
    Code(
        "call_cut_off",
        "The LMS's server cut off the call with this row in it, and nothing was done for the row. The job sends it "
        "again in a smaller call.",
        "Nothing while the job is running; otherwise use `roster resume`.",
    ),
    Code(
        "call_too_large",
        "The LMS, or the web server in front of it, accepts no call as large as that for this one row.",
        "Shorten the values of the row, or ask the LMS's administrator for a higher limit.",
    ),
    Code(
        "still_active",
        "The enrolment was withdrawn, but the person is still active on the course by another enrolment method.",
        "Remove the person from the course in the LMS itself.",
    ),
    Code(
        "registration_withdrawn",
        "The person's registration on this course was withdrawn, so it can be neither approved nor completed.",
        "Register the person again first (`action` = `register`), then run or upload the row.",
    ),
    Code(
        "ambiguous_registration",
        "The person has more than one registration that matches this row, and none was chosen.",
        "Put the right one into a `registration_external_id` column, then run or upload the row.",
    ),
    Code(
        "registration_mismatch",
        "The `registration_external_id` of this row belongs to another person or course.",
        "Correct the ID, or leave it empty: the registration is then found by person and course.",
    ),
    Code(
        "registration_not_found",
        "The LMS does not show which registration this row means.",
        "Set `course_id` or `registration_external_id`.",
    ),
    Code(
        "action_refused",
        "The LMS did not carry out the action of this row; its message is in `_error`.",
        "Look up the registration in the LMS: not every action is allowed in its current state.",
    ),
    Code("update_refused", "The LMS did not update the person; its message is in `_error`.", _FIX_CELL),
    Code(
        "deactivation_refused",
        "The LMS did not deactivate the person; its message is in `_error`.",
        "Do it in the LMS itself, or ask its administrator.",
    ),
    Code(
        "not_allowed",
        "The account of this connection is not allowed to do that.",
        "Ask the LMS's administrator for the permission, then run or upload the failed rows.",
    ),
    # Unconfirmed.
    Code(
        "answer_lost",
        "The call was sent, but no answer came back. It is not retried until it is confirmed.",
        "Look up the person in the LMS, then say what you found with `roster resolve`.",
    ),
    Code(
        "ledger_restored",
        "Roster's ledger was restored from a backup; the row may have been sent after the backup was made.",
        "Resume the job. If the row is still in doubt, look up the person in the LMS and use `roster resolve`.",
    ),
    Code(
        "lost_each_time",
        "The call was sent several times, each time without an answer, and the LMS certainly did not carry it out.",
        "`roster retry` sends it again; ask the LMS's administrator when it happens often.",
    ),
    Code(
        "no_answer_for_row",
        "The LMS answered for the batch, but not for this row.",
        "Look up the person in the LMS, then say what you found with `roster resolve`.",
    ),
    # Found by `roster verify`.
    Code(
        "withdrawn_later",
        "The row was registered by this job, and a later job withdrew the registration; the message names it.",
        "Nothing. To register the person again, run or upload the same file again.",
    ),
    Code(
        "verified_absent",
        "The row was done, but the LMS no longer shows it: it was withdrawn, deleted or hidden.",
        "Ask the LMS's administrator. To do it again, run the `.differs.csv` with `--again`.",
    ),
    Code(
        "verified_otherwise",
        "The row was done, but the LMS now differs; the message says how.",
        "Ask the LMS's administrator. To make it as the row says, run the `.differs.csv` with `--again`.",
    ),
    Code(
        "cannot_be_verified",
        "The row was done, but this LMS (or this account) offers no look-up for it.",
        "Nothing, or look up the person in the LMS.",
    ),
    # Not sent.
    Code(
        "candidate_in_doubt",
        "The person is unconfirmed in another row; nothing more is sent for them until that is resolved.",
        "Resolve the other row with `roster resolve`, then use `roster resume`.",
    ),
    Code(
        "course_refused",
        "The LMS rejects the course itself, so the remaining rows for it were not sent.",
        "Correct the course in the LMS and use `roster retry`, or correct the rows, then run or upload them.",
    ),
    Code(
        "bisecting_ended",
        "The LMS rejected a batch with this row, and splitting it to isolate the bad rows took too many calls.",
        "`roster resume` continues; a smaller `batch_size` takes fewer calls.",
    ),
    Code("strict", "Other rows are invalid, and `--strict` was given.", "Correct them, or leave `--strict` out."),
    Code(
        "not_sent",
        "The job stopped before this row was sent.",
        "Fix the reason given in the Summary, then use `roster resume`.",
    ),
    Code("cancelled", "The job was cancelled before this row was sent.", "`roster retry` sends it."),
)

#: Every code of a report.
CODES = {code.code: code for code in _ALL}


def explain(code: str) -> Code:
    """Return the explanation of a code; that of an unknown one (a connector's own) points to the row's message."""
    return CODES.get(code) or Code(code, "The message in `_error` says what happened.", "Do as that message says.")
