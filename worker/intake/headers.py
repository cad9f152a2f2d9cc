"""Match the headings of a roster to columns: by --map, by name, by alias. The others are kept, some with a warning.

Knows nothing of files or rows.
"""

from __future__ import annotations

import difflib
import itertools
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType

from worker.errors import MissingColumns, UnknownHeading, UnreadableRoster, UsageError
from worker.intake.columns import (
    ALIASES,
    AMBIGUOUS,
    COLUMNS,
    FIELD_PREFIX,
    PERSON_COLUMNS,
    REGISTRATION_COLUMN,
    WEAK_ALIASES,
)
from worker.intake.limits import MATCHED_CHARACTERS
from worker.intake.problems import MAX_QUOTE, quote
from worker.intake.text import clean, normalize

_IGNORED = re.compile(r"[\s_\-*\u2010-\u2015]+")
_OWN_NAMES = MappingProxyType({name.replace("_", ""): name for name in COLUMNS})
_KNOWN = MappingProxyType({**WEAK_ALIASES, **ALIASES, **_OWN_NAMES})
_SIMILARITY = 0.8
#: A heading that is longer than a known one by a word is another thing and no mistyped one: "IP address".
_WORD = 2
#: A longer heading is similar to no column.
_LONGEST_SIMILAR = int(max(map(len, _KNOWN)) * (2 / _SIMILARITY - 1))
#: Of headings that match no column, up to this many are compared with others.
MAX_COMPARED = 200
#: Up to this many known headings are listed.
MAX_LISTED = 10
_IDENTIFYING = frozenset({*PERSON_COLUMNS, REGISTRATION_COLUMN})


class MatchStrength(IntEnum):
    """How strongly a heading matches a column; the lower, the stronger."""

    MAPPED = 0
    OWN_NAME = 1
    ALIAS = 2
    SECOND_CHOICE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Headings:
    """The headings of a roster and the columns that they match."""

    #: As they are in the file.
    names: tuple[str, ...]
    #: The column that each heading matches, `field:<name>` included; None: kept, not imported.
    columns: tuple[str | None, ...]
    #: Sentences for people; they block nothing.
    warnings: tuple[str, ...] = ()
    #: The columns that some of the warnings offer.
    offered: Mapping[str, str] = field(default_factory=dict)
    #: Positions of the headings that a person mapped, to a column or to nothing.
    mapped: frozenset[int] = frozenset()

    @property
    def used(self) -> tuple[int, ...]:
        """Return the positions of the columns that are imported, those that identify a person first."""
        found = [at for at, column in enumerate(self.columns) if column is not None]
        return tuple(sorted(found, key=lambda at: self.columns[at] not in _IDENTIFYING))

    def heading_of(self, column: str) -> str:
        """Return the heading of a column as it is in the file, or the column's name when it has none."""
        return clean(self.names[self.columns.index(column)]) if column in self.columns else column


def normalize_heading(heading: str) -> str:
    """Return the first MATCHED_CHARACTERS of a heading without case, blanks, `_`, `-`, `*` and accents."""
    decomposed = normalize(clean(heading)[:MATCHED_CHARACTERS], "NFKD")
    bare = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return _IGNORED.sub("", bare.casefold()).rstrip(":.")


def count_known(headings: Iterable[str]) -> int:
    """Return how many headings match a column."""
    return sum(_match(heading) is not None for heading in headings)


def identifies(column: str) -> bool:
    """Return whether a column can identify a person, or a registration of theirs."""
    return column in _IDENTIFYING


def column_of_heading(heading: str) -> str:
    """Return the column that a heading matches by itself; empty for none."""
    match = _match(heading)
    return match[1] if match else ""


def match_headings(headings: Sequence[str], *, mapping: Mapping[str, str] = MappingProxyType({})) -> Headings:
    """Match each heading to a column; one that `mapping` maps to nothing is kept and not imported.

    Raises UnreadableRoster when two headings match one column equally, MissingColumns when no heading identifies a
    person or a registration, UsageError when `mapping` (heading → column) names a heading or a column that does not
    exist.
    """
    mapped = _mapped_positions(headings, mapping)
    matches = [
        _explicit_match(mapped[position]) if position in mapped else _match(heading)
        for position, heading in enumerate(headings)
    ]
    columns, lost = _choose_headings(headings, matches)
    if _IDENTIFYING.isdisjoint(columns):
        raise missing_person_column(headings)
    hints = _warn_of_unknown(headings, matches, mapped)
    return Headings(
        names=tuple(headings),
        columns=columns,
        warnings=(*lost, *_warn_of_invisible(headings), *hints),
        offered=hints,
        mapped=frozenset(mapped),
    )


def check_column(column: str, *, option: str) -> str:
    """Return the column that a user typed; raise UsageError with the nearest one when it is unknown."""
    match = _match(column)
    if match is not None:
        return match[1]
    near = difflib.get_close_matches(normalize_heading(column)[:_LONGEST_SIMILAR], _KNOWN, n=1, cutoff=0.6)
    hint = f"did you mean {_KNOWN[near[0]]}?" if near else f"the columns are {', '.join(COLUMNS)} and field:<name>."
    raise UsageError(f"{option}: there is no column {quote(column)}; {hint}")


def _match(heading: str) -> tuple[MatchStrength, str] | None:
    text = clean(heading)
    if text.startswith("_"):
        return None
    if text.casefold().startswith(FIELD_PREFIX):
        name = text[len(FIELD_PREFIX) :].strip()
        return (MatchStrength.OWN_NAME, FIELD_PREFIX + name) if name else None
    folded = normalize_heading(text)
    if folded in _OWN_NAMES:
        return MatchStrength.OWN_NAME, _OWN_NAMES[folded]
    if folded in ALIASES:
        return MatchStrength.ALIAS, ALIASES[folded]
    return (MatchStrength.SECOND_CHOICE, WEAK_ALIASES[folded]) if folded in WEAK_ALIASES else None


def _explicit_match(column: str) -> tuple[MatchStrength, str] | None:
    return (MatchStrength.MAPPED, column) if column else None


def _mapped_positions(headings: Sequence[str], mapping: Mapping[str, str]) -> dict[int, str]:
    if not mapping:
        return {}
    mapped: dict[int, str] = {}
    exact, similar = _positions(map(clean, headings)), _positions(map(normalize_heading, headings))
    for heading, target in mapping.items():
        option = f'--map "{heading[:MAX_QUOTE]}={target[:MAX_QUOTE]}"'
        column = check_column(target, option=option) if target else ""
        if column and column in mapped.values():
            raise UsageError(f"--map: two headings are mapped to {column}; keep one of them.")
        found = exact.get(clean(heading)) or similar.get(normalize_heading(heading), [])
        if len(found) != 1:
            problem = "more than one heading has this name" if found else "the file has no such heading"
            raise UnknownHeading(
                f"{option}: {problem}; {_describe(headings)}{_nearest(headings, heading)}.",
                _headings_to_show(headings),
            )
        mapped[found[0]] = column
    return mapped


def _nearest(headings: Sequence[str], wanted: str) -> str:
    """Return which column has the heading that is most like the wanted one; empty when none is."""
    names = {normalize_heading(heading): at for at, heading in enumerate(headings[:MAX_COMPARED])}
    near = difflib.get_close_matches(normalize_heading(wanted), names, n=1, cutoff=0.6)
    return f"; the nearest one is in column {column_letter(names[near[0]])}" if near else ""


def _positions(names: Iterable[str]) -> dict[str, list[int]]:
    positions: dict[str, list[int]] = {}
    for position, name in enumerate(names):
        positions.setdefault(name, []).append(position)
    return positions


def _choose_headings(
    headings: Sequence[str], matches: Sequence[tuple[MatchStrength, str] | None]
) -> tuple[tuple[str | None, ...], list[str]]:
    """Return the column of each heading, given to the strongest match, and a warning for each heading that lost."""
    winners: dict[str, tuple[MatchStrength, int]] = {}
    for strength, position, column in sorted((match[0], at, match[1]) for at, match in enumerate(matches) if match):
        best, winner = winners.setdefault(column, (strength, position))
        if winner != position and best == strength:
            raise UnreadableRoster(
                f"Two headings match the column {column}: {_known_or_letter(headings[winner], winner)} and "
                f"{_known_or_letter(headings[position], position)}. "
                f'Rename one of them, or choose one with --map "Heading={column}".'
            )
    columns = tuple(match[1] if match and winners[match[1]][1] == at else None for at, match in enumerate(matches))
    lost = [
        f"The column {quote(headings[at])} is not imported: {quote(headings[winners[match[1]][1]])} is {match[1]}."
        for at, match in enumerate(matches)
        if match and winners[match[1]][1] != at
    ]
    return columns, lost


def column_letter(position: int) -> str:
    """Return the letter that a spreadsheet shows above a column (0 → A)."""
    name = ""
    while position >= 0:
        name = chr(ord("A") + position % 26) + name
        position = position // 26 - 1
    return name


def _known_or_letter(heading: str, position: int) -> str:
    """Return a heading for an error; by its text only if it is one of ours, since it may be a cell of a person."""
    column = f"column {column_letter(position)}"
    match = _match(heading)
    is_ours = match is not None and not match[1].startswith(FIELD_PREFIX)
    return f"{quote(heading)} in {column}" if is_ours else f"the one in {column}"


def _describe(headings: Sequence[str]) -> str:
    """Return how many headings there are, in which columns, and those that are known; no other text of the file."""
    filled = [at for at, heading in enumerate(headings) if clean(heading)]
    if not filled:
        return "there are no headings"
    if len(filled) == 1:
        described = f"there is 1 heading, in column {column_letter(filled[0])}"
    else:
        columns = f"{column_letter(filled[0])} to {column_letter(filled[-1])}"
        described = f"there are {len(filled)} headings, in columns {columns}"
    matches = [(at, _match(headings[at])) for at in filled]
    known = [at for at, match in matches if match is not None and not match[1].startswith(FIELD_PREFIX)]
    if not known:
        return f"{described}, and none is a known one"
    listed = ", ".join(f"{quote(headings[at])} ({column_letter(at)})" for at in known[:MAX_LISTED])
    more = f" and {len(known) - MAX_LISTED} more" if len(known) > MAX_LISTED else ""
    return f"{described}; the known ones are {listed}{more}"


def missing_person_column(headings: Sequence[str]) -> MissingColumns:
    """Return the error for a file whose headings do not identify people.

    It quotes no heading that is not ours: the first row may be a person, and errors are kept, logged and sent.
    """
    hint = f'rename one of them, or match one with --map "Heading={PERSON_COLUMNS[2]}"'
    if any(normalize_heading(heading) in AMBIGUOUS for heading in headings):
        hint = (
            'if user_id is your own person ID, use --map "user_id=external_id"; if it is the LMS\'s, =candidate_id'
        )
    if any("@" in heading for heading in headings):
        hint = "the first row seems to be a person instead of headings: insert a row of headings above it"
    return MissingColumns(
        f"No column identifies the people: {_describe(headings)}. One of "
        f"{', '.join(PERSON_COLUMNS)} is needed; {hint}.",
        _headings_to_show(headings),
    )


def _headings_to_show(headings: Sequence[str]) -> tuple[str, ...]:
    """Return the headings as they are in the file; none when they seem to be a person, or mere numbers."""
    is_data = any("@" in heading for heading in headings) or (
        not count_known(headings) and any(clean(heading)[:1].isdigit() for heading in headings)
    )
    return () if is_data else tuple(clean(heading) for heading in headings if clean(heading))


def _warn_of_invisible(headings: Iterable[str]) -> list[str]:
    return [
        f"The heading {quote(clean(heading))} contains invisible characters; they were ignored."
        for heading in headings
        if " ".join(heading.split()) != " ".join(clean(heading).split()) and clean(heading)
    ]


def _warn_of_unknown(
    headings: Sequence[str], matches: Sequence[tuple[MatchStrength, str] | None], mapped: Collection[int]
) -> dict[str, str]:
    """Return the warnings about headings that nearly are columns, with the column that each offers.

    A column that another heading already is, is never offered.
    """
    taken = {match[1] for match in matches if match}
    unknown = (
        name
        for position, (heading, match) in enumerate(zip(headings, matches, strict=True))
        if match is None and position not in mapped and (name := clean(heading)) and not name.startswith("_")
    )
    warnings = {}
    for name in itertools.islice((name for name in unknown if len(name) <= MATCHED_CHARACTERS), MAX_COMPARED):
        if normalize_heading(name) in AMBIGUOUS and taken.isdisjoint({"external_id", "candidate_id"}):
            warnings[
                f"The column {quote(name)} has two meanings and is not imported: if it is your own person ID, "
                f'use --map "{name}=external_id"; if it is the LMS\'s, --map "{name}=candidate_id".'
            ] = "external_id"
        elif (column := _similar_column(normalize_heading(name))) and column not in taken:
            warnings[
                f'The column {quote(name)} is not imported; did you mean {column}? If so: --map "{name}={column}".'
            ] = column
    return warnings


def _similar_column(folded: str) -> str:
    """Return the column that a heading nearly names; empty for none."""
    if len(folded) > _LONGEST_SIMILAR:
        return ""
    near = difflib.get_close_matches(folded, _KNOWN, n=1, cutoff=_SIMILARITY)
    if not near or (near[0] in folded and len(folded) - len(near[0]) >= _WORD):
        return ""
    return _KNOWN[near[0]]
