"""Rewrite messages that name commands and options: with buttons and labels for the page, fields for the API."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from worker.intake.columns import PERSON_COLUMNS
from worker.reports.column_labels import COLUMN_LABELS, column_label

if TYPE_CHECKING:
    from collections.abc import Callable

    Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]

#: The part of a message that is rewritten (characters); what follows can only be quoted from a file.
_REWRITTEN = 4_000
_LABELS_OF_PEOPLE = [column_label(column) for column in reversed(PERSON_COLUMNS)]
_PERSON_COLUMNS = f"{', '.join(_LABELS_OF_PEOPLE[:-1])} or {_LABELS_OF_PEOPLE[-1]}"
_ALL_NAMES = "|".join(sorted(COLUMN_LABELS, key=len, reverse=True))
#: Names that are no English words; others, such as `state`, are only replaced in a list of columns.
_NAMES = "|".join(name for name in _ALL_NAMES.split("|") if "_" in name)
_LIST_OF_NAMES = rf"\b(?:{_ALL_NAMES})(?:(?:, | or )(?:{_ALL_NAMES}))+\b"


def _as_label(before: str) -> Callable[[re.Match[str]], str]:
    """Return a replacement: a text, which may refer to groups, and the label of the matched `column`."""
    return lambda match: f"{match.expand(before)}“{column_label(match['column'])}”"


def _label(match: re.Match[str]) -> str:
    return column_label(match[0])


def _rules(*pairs: tuple[str, str | Callable[[re.Match[str]], str]]) -> tuple[Rule, ...]:
    return tuple((re.compile(pattern, re.DOTALL), replacement) for pattern, replacement in pairs)


def _select(match: re.Match[str]) -> str:
    return "Select " if match[1] == "Run" else "select "


def _upload(match: re.Match[str]) -> str:
    return "Upload" if match[0] == "Run" else "upload"


#: The verb of a sentence that says to run a file.
_RUN_A_FILE = r"\b[Rr]un(?= (?:it again|its file again|the file again|the original file again|that file)\b)"
_LEAVE_OUT = "choose “Do not import” for it"
_COLUMN = r"(?P<column>[\w:]+)"
_INIT = r"`roster init` writes a roster\.toml with one, for example:.*"
_PAGE_RULES = _rules(
    (_INIT, "Ask your Roster administrator to add one."),
    # Columns.
    (
        r": there (?:is|are) .*\. One of [^;]* is needed; rename one of them, or match one with --map \"[^\"]*\"",
        f". Match one column to {_PERSON_COLUMNS}",
    ),
    (r": there (?:is|are) .*\. One of [^;]* is needed", f". Match one column to {_PERSON_COLUMNS}"),
    (
        r"use --map \"[^\"]*=external_id\"; if it is the LMS's, (?:--map \"[^\"]*)?=candidate_id\"?",
        f"import it as “{column_label('external_id')}”; if it is the LMS's, as “{column_label('candidate_id')}”",
    ),
    (rf"choose one with --map \"Heading={_COLUMN}\"", _as_label("import only one of them as ")),
    (rf"match one with --map \"Heading={_COLUMN}\"", _as_label("match one of the columns to ")),
    (rf"\? If so: --map \"[^\"]*={_COLUMN}\"", _as_label("? If so, import it as ")),
    (r"If the column means something else: --map \".*?=\"", f"If the column means something else, {_LEAVE_OUT}"),
    (r"ignore it with `--map \"[^\"]*=\"`", _LEAVE_OUT),
    (rf"--map \"(?P<heading>[^\"]*)={_COLUMN}\"", _as_label(r"“\g<heading>” as ")),
    (r"--map(?=:)", "Columns"),
    # Sheets and encodings.
    (r"; use --sheet to read one of them", "; to read another one, choose it under “Sheet”"),
    (r"; choose one with --sheet NAME", "; choose one under “Sheet”"),
    (r",? or give one with --sheet", ", or choose one under “Sheet”"),
    (r"Give one of them with --sheet", "Choose one of them under “Sheet”"),
    (r"Give (that|the right) encoding with --encoding NAME", r"Choose \1 encoding below"),
    (r"from --encoding", "as chosen"),
    (
        r"Give --hidden-rows send to (send \w+ like the others), or --hidden-rows skip to (leave \w+ out)",
        r"Choose below whether to \1 or to \2",
    ),
    # Options.
    (r"give --course|set one for all such rows with `--course`", "set a default course"),
    (r"give all such rows a value with `--set COLUMN=VALUE`", "set a default value"),
    (r"--set (?P<column>(?:field:)?[^:]+)(?=:|$)", _as_label("Default value for ")),
    (r"--strict: ", ""),
    (r"(?:leave )`?--strict`? out", "clear “All or nothing”"),
    (r"`?--strict`? was (?:given|used)", "“All or nothing” was selected"),
    (r"--update-existing(?=:)", "“Update people who already exist”"),
    (r"leave the option out", "clear the option"),
    (r"leave --at out", "leave it empty"),
    (r"--at(?= )", "Start:"),
    (r" with --to NAME", ""),
    (r"with `--again`", "and select “Register again, even if already registered”"),
    # What to do next.
    (r"`roster status \d+ --watch` follows the job", "The job's page follows it"),
    (r"`roster report \d+` writes a report of what is done", "Download the report for what is done so far"),
    (r"say what you found with `roster resolve \d+ ROW [^)]*\)", "enter what you found in its row"),
    (r"\b([Rr]un) (?=`roster (?:resume|retry|pause|cancel|undo)\b)", _select),
    (_RUN_A_FILE, _upload),
    # Files.
    (r"run or upload", "upload"),
    (r"run the (?=`)", "upload the "),
    # Rows in doubt.
    (r"--absent if it was not", "choose “Not done” if it was not"),
    (r"--absent if it does not", "choose “Not registered” if it does not"),
    (r"give (?:--registration-id|--candidate-id) if", "enter the ID if"),
    # Buttons.
    (r"; `roster retry \d+ --rejected` sends ", "; “Send rejected rows again” sends "),
    (r", then use `roster resolve`", ", then enter what you found"),
    (r"say what you found with `roster resolve`", "enter what you found in its row"),
    (r"(?:with )?`roster resolve(?: [^`]*)?`", "in its row"),
    (r"`roster jobs` lists (?:those there are|all jobs)", "“Jobs” lists all jobs"),
    (r"; its counts are in `roster status[^`]*`", "; its counts are above"),
    (r"run `roster report[^`]*`", "download the report again"),
    (r"`roster (resume|retry|pause|cancel|undo|verify)(?: [^`]*)?`", lambda match: f"“{match[1].capitalize()}”"),
    # What remains.
    (r"--heading-row(?: \d+)?", "Heading row"),
    (r"`?--course`?", "Default course"),
    (r"`?--encoding`?", "Encoding"),
    (r"`?--sheet`?", "Sheet"),
    (r"`?--candidate-id`?", "the person's ID"),
    (r"`?--registration-id`?", "the registration's ID"),
    (r"`?--absent`?", "“Not registered”"),
    # Columns by their labels, except in quotes.
    (_LIST_OF_NAMES, lambda match: re.sub(_ALL_NAMES, _label, match[0])),
    (rf"\b(?:{_ALL_NAMES})(?= is missing)", _label),
    (rf"(?<![\w\"“`=:])(?:{_NAMES})(?![\w\"”`=])", _label),
)
_ACTIONS = "resume|retry|pause|cancel|undo"
_API_RULES = _rules(
    (_INIT, "An administrator adds one to roster.toml."),
    (r"`roster schedule edit (\S+)` changes it", r"`PATCH /api/schedules/\1` changes it"),
    (r"`roster schedule list` shows all", "`GET /api/schedules` lists all"),
    (r"`roster status (\d+) --watch` follows the job", r"`GET /api/jobs/\1` shows the job"),
    (
        r"`roster report (\d+)` writes a report of what is done",
        r"`/api/jobs/\1/results.csv` has what is done so far",
    ),
    (
        r"say what you found with `roster resolve (\d+) ROW [^)]*\)",
        r"send what you found to `POST /api/jobs/\1/rows/ROW/resolve`",
    ),
    (rf"\b([Rr]un) (?=`roster (?:{_ACTIONS})\b)", lambda match: "Call " if match[1] == "Run" else "call "),
    (_RUN_A_FILE, _upload),
    (r"`roster retry (\d+) --rejected`", r"`POST /api/jobs/\1/retry` with `rejected=true`"),
    (rf"`roster ({_ACTIONS}) (\d+)`", r"`POST /api/jobs/\2/\1`"),
    (rf"`roster ({_ACTIONS})(?: [^`]*)?`", r"the call `\1`"),
    (r"`roster resolve(?: [^`]*)?`", "the call `resolve`"),
    (r"`roster jobs`", "`GET /api/jobs`"),
    (r"`roster status (\d+)`", r"`GET /api/jobs/\1`"),
    (r"run `roster report (\d+)`", r"download `/api/jobs/\1/results.csv` again"),
    (r"--to NAME", "the field `connection`"),
    (r"with --encoding NAME", "in the field `encoding`"),
    (r"--hidden-rows (send|skip)", r"`hidden_rows=\1`"),
    (r"`?(?<![\w-])--([a-z]+(?:-[a-z]+)*)`?", lambda match: f"`{match[1].replace('-', '_')}`"),
)


def for_page(text: str) -> str:
    """Return a message in the words of the page, where there are buttons and labels."""
    return _rewrite(text, _PAGE_RULES)


def for_api(text: str) -> str:
    """Return a message in the words of the API, where there are calls and fields."""
    return _rewrite(text, _API_RULES)


def _rewrite(text: str, rules: tuple[Rule, ...]) -> str:
    text, rest = text[:_REWRITTEN], text[_REWRITTEN:]
    for pattern, replacement in rules:
        text = pattern.sub(replacement, text)
    return text + rest
