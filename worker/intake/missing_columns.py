"""Say once for a file that no heading is a column that every row needs, and which heading may be meant."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from worker.intake.headers import Headings, column_of_heading, normalize_heading
from worker.intake.problems import quote
from worker.intake.text import clean
from worker.model import RowRules

_BRACKETS = re.compile(r"[(\[][^()\[\]]{0,200}[)\]]")
_BETWEEN_WORDS = re.compile(r"[\s_\-/.:]+")
_MAX_WORDS = 6
#: Headings over first and last name in one cell.
_WHOLE_NAMES = frozenset({"name", "fullname", "names", "displayname", "studentname", "candidatename"})
_NAMES = ("first_name", "last_name")


def explain_missing_columns(headings: Headings, rules: RowRules, given: Collection[str]) -> str:
    """Return a sentence on the columns that no heading is, though rows are invalid without them; empty for none.

    `given` are the columns with a default value.
    """
    needed = [*rules.required_to_create, *(["behavior"] if rules.needs_behavior else [])]
    if "candidate_id" in headings.columns:
        needed = []
    missing = [column for column in needed if column not in headings.columns and column not in given]
    if not missing:
        return ""
    unused = [
        clean(name)
        for name, column in zip(headings.names, headings.columns, strict=True)
        if column is None and clean(name) and not clean(name).startswith("_")
    ]
    them = "it" if len(missing) == 1 else "them"
    what = f"No column is imported as {' or '.join(missing)}, and rows without {them} are invalid"
    return f"{what}{_remedy(missing, unused, them)}"


def _remedy(missing: list[str], unused: list[str], them: str) -> str:
    found = {column: name for column in missing if (name := _heading_of(column, unused))}
    if found:
        names = " and ".join(dict.fromkeys(map(quote, found.values())))
        maps = ", ".join(f'--map "{name}={column}"' for column, name in found.items())
        return f"; did you mean {names}? If so: {maps}."
    whole = next((name for name in unused if normalize_heading(name) in _WHOLE_NAMES), None)
    if whole and set(_NAMES) <= set(missing):
        return f". {quote(whole)} seems to be the whole name: divide it into two columns, first_name and last_name."
    return f'; add {them} to the file, or match one with --map "Heading={missing[0]}".'


def _heading_of(column: str, unused: list[str]) -> str | None:
    """Return the heading that names a column among other words, as "First name (given)" does."""
    return next((name for name in unused if any(column_of_heading(each) == column for each in _parts(name))), None)


def _parts(name: str) -> Iterator[str]:
    """Yield a heading without what is in brackets, then each sequence of its words, the longest first."""
    bare = _BRACKETS.sub(" ", name[:200])
    yield bare
    words = [word for word in _BETWEEN_WORDS.split(bare) if word][:_MAX_WORDS]
    for size in range(len(words) - 1, 0, -1):
        for begin in range(len(words) - size + 1):
            yield " ".join(words[begin : begin + size])
