"""The codes of the report's `_error_code` column: what each means, and what to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """One code, explained to the person who reads the report."""

    code: str
    meaning: str
    remedy: str


_MEND = "Mend the cell in the failed rows' file and drop that file again."

_ALL = (
    # What we refuse before anything is sent.
    Code(
        "missing_value",
        "A cell that this row needs is empty.",
        "Fill it in, or give every row a value with `--set COLUMN=VALUE`.",
    ),
    Code("invalid_email", "This is not an e-mail address that mail could reach.", _MEND),
    Code("invalid_date", "This is not a date.", "Write it as 2026-03-31 and drop the file again."),
    Code(
        "ambiguous_date",
        "The date can be read as day/month or as month/day, and no other date in the column tells which.",
        "Write the column's dates as 2026-03-31.",
    ),
    Code("invalid_number", "This is not a number, or not one that may stand here.", _MEND),
    Code("invalid_choice", "The value is none of those that may stand here; the message lists them.", _MEND),
    Code(
        "invalid_country",
        "This is not a country that we know.",
        "Write its name in English or its two letters (NL), and drop the file again.",
    ),
    Code("value_too_long", "The text is longer than the LMS takes.", "Shorten it and drop the file again."),
    Code(
        "lost_digits",
        "Excel has shortened a long number (1.23E+16), and its last digits are gone.",
        "Fetch the value from where it came from, with the column formatted as text.",
    ),
    Code(
        "excel_error",
        "The cell holds an error of Excel's (#N/A, #REF!, …) instead of a value.",
        "Mend the formula, or write the value itself.",
    ),
    Code(
        "formula_without_value",
        "The cell holds a formula whose result was never saved in the file.",
        "Open the file in Excel, let it calculate, and save it; or paste the values alone.",
    ),
    Code(
        "too_many_cells",
        "The row has more cells than the roster has headings, so its values may stand under the wrong ones.",
        "Look for a delimiter within a value (a comma without quotation marks), or give every column a heading.",
    ),
    Code(
        "course_missing",
        "The row names no course.",
        "Fill in a course column, or name one for all such rows with `--course`.",
    ),
    Code(
        "course_column_not_supported",
        "The row names its course in a way that this LMS does not understand.",
        "Use the course column that the message names.",
    ),
    Code(
        "action_not_supported",
        "This LMS offers no such action through its interface.",
        "Do it in the LMS itself; leave `action` empty to register.",
    ),
    Code(
        "duplicate_row",
        "An earlier row of this roster has the same candidate and the same course; that row carries the outcome.",
        "Nothing, unless two different people share an e-mail address: then give each an `external_id`.",
    ),
    # What the LMS refuses.
    Code(
        "unknown_course",
        "The LMS knows no such course, or does not offer it to this account.",
        "Look the course up in the LMS, mend it in the roster, and drop the failed rows again.",
    ),
    Code(
        "ambiguous_course",
        "More than one course in the LMS fits this row, and none was chosen.",
        "Name the course by `course_id` and drop the failed rows again.",
    ),
    Code("candidate_refused", "The LMS would not create the candidate; its words are in `_error`.", _MEND),
    Code("registration_refused", "The LMS would not register the candidate; its words are in `_error`.", _MEND),
    Code(
        "ambiguous_candidate",
        "More than one person in the LMS fits this row, and none was chosen.",
        "Put the right person's id into a `candidate_id` column and drop the row again.",
    ),
    Code(
        "candidate_exists",
        "The LMS would not create the candidate, since it has one like them; which one, it did not say.",
        "Find the person in the LMS, put their id into a `candidate_id` column and drop the row again.",
    ),
    Code(
        "candidate_incomplete",
        "The LMS does not have this person, and the row lacks what is needed to create them.",
        "Fill in the columns that the sentence names, or mend the id by which the row names the person.",
    ),
    Code(
        "unknown_candidate",
        "The LMS has no such person; people are created only to be registered, not by any other action.",
        "Mend the id or the e-mail address by which the row names the person, or register them first.",
    ),
    Code(
        "not_registered",
        "The person is not registered on this course, or nothing this account sees has this external id.",
        "Check the person and the course, or the external id; register them first (`action` = `register`).",
    ),
    Code(
        "registration_withdrawn",
        "The person's registration on this course was withdrawn, so it can be neither approved nor completed.",
        "Register the person again first (`action` = `register`), then drop the row again.",
    ),
    Code(
        "ambiguous_registration",
        "The person has more than one registration that fits this row, and none was chosen.",
        "Name the right one in a `registration_external_id` column and drop the row again.",
    ),
    Code(
        "registration_mismatch",
        "The `registration_external_id` of this row belongs to another person or course.",
        "Mend the id, or leave it empty: then the registration is found by person and course.",
    ),
    Code(
        "registration_not_found",
        "The LMS does not show which registration this row means.",
        "Name the course by `course_id`, or the registration by `registration_external_id`.",
    ),
    Code(
        "action_refused",
        "The LMS would not do what this row asks for; its words are in `_error`.",
        "Look the registration up in the LMS: not every step is allowed from where it stands.",
    ),
    Code("update_refused", "The LMS would not change the person; its words are in `_error`.", _MEND),
    Code(
        "deactivation_refused",
        "The LMS would not deactivate the person; its words are in `_error`.",
        "Do it in the LMS itself, or ask its administrator.",
    ),
    Code(
        "not_allowed",
        "The account of this connection may not do that.",
        "Ask the LMS's administrator for the permission, then drop the failed rows again.",
    ),
    # What nobody knows.
    Code(
        "answer_lost",
        "The call was sent and its answer never came: perhaps it had its effect. It is not sent again blindly.",
        "Look the person up in the LMS, then say what you found with `roster resolve`.",
    ),
    Code(
        "no_answer_for_row",
        "The LMS answered for the batch and said nothing of this row.",
        "Look the person up in the LMS, then say what you found with `roster resolve`.",
    ),
    # What was done and, read back, is otherwise (`roster verify`).
    Code(
        "verified_absent",
        "The row was done, and the LMS does not show it (any more): withdrawn or deleted there, or out of sight.",
        "Ask whoever works in the LMS. If it should be so again, drop the `.differs.csv` with `--again`.",
    ),
    Code(
        "verified_otherwise",
        "The row was done, and the LMS shows it otherwise now; the message says how.",
        "Ask whoever works in the LMS. If it should be as the row says, drop the `.differs.csv` with `--again`.",
    ),
    Code(
        "cannot_be_verified",
        "The row was done, and this LMS (or this account) cannot be asked whether it still is.",
        "Nothing, or look the person up in the LMS yourself.",
    ),
    # What was never sent.
    Code(
        "candidate_in_doubt",
        "The row's candidate is in doubt in another row, and nothing more is sent for them until that is settled.",
        "Settle the other row with `roster resolve`, then use `roster resume`.",
    ),
    Code(
        "course_refused",
        "The course was given up before this row's turn: the LMS refuses the course itself.",
        "Mend the course in the roster or in the LMS, then use `roster retry` or drop the failed rows again.",
    ),
    Code(
        "bisecting_ended",
        "The LMS refused this row together with others, and taking the batch apart used up its calls.",
        "`roster resume` goes on; a smaller `batch_size` makes it cheaper.",
    ),
    Code("strict", "Other rows are invalid, and `--strict` was given.", "Mend them, or leave `--strict` out."),
    Code(
        "not_sent",
        "The job stopped before this row's turn.",
        "Mend what the Summary names as reason, then use `roster resume`.",
    ),
    Code(
        "cancelled", "The job was cancelled before this row's turn; nothing was sent.", "`roster retry` sends it."
    ),
)

#: Every code that a report may hold.
CODES = {code.code: code for code in _ALL}


def explain(code: str) -> Code:
    """Return what is known of a code; an unknown one (a connector's own) points to the row's sentence."""
    return CODES.get(code) or Code(
        code, "The sentence in `_error` says what happened.", "Do as that sentence says."
    )
