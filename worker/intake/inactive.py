"""Columns in which a roster's own source marks people as inactive: OneRoster, Moodle, directories, HR exports.

Such a row is skipped, whatever it asks to be added. Nothing is withdrawn for it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from worker.intake.headers import Headings, normalize_heading
from worker.intake.limits import MATCHED_CHARACTERS
from worker.intake.problems import ProblemCode, quote
from worker.intake.text import clean
from worker.model import Problem

_FALSE = frozenset({"false", "no", "n", "0", "f", "off", "nein", "non", "nee", "falsch", "faux", "falso"})
_TRUE = frozenset({"true", "yes", "y", "1", "t", "on", "x", "ja", "oui", "si", "sí", "wahr", "vrai"})
# fmt: off
_WORDS = frozenset(
    {
        "tobedeleted", "inactive", "notactive", "deleted", "suspended", "disabled", "deactivated", "archived",
        "terminated", "removed", "left", "leaver", "resigned", "retired", "dismissed", "departed", "withdrawn",
        "cancelled", "canceled", "blocked", "unenrolled", "exemployee", "formeremployee", "deceased", "offboarded",
        "inaktiv", "deaktiviert", "gesperrt", "ausgeschieden", "gelöscht", "inactif", "inactivo", "inativo",
        "inattivo", "inactief",
    }
)
#: What a heading has before "status".
_SUBJECTS = (
    "", "user", "account", "record", "row", "current", "employment", "employee", "staff", "worker", "hr", "person",
    "contact", "candidate", "participant", "student", "learner", "pupil", "member", "membership", "enrolment",
    "enrollment", "login",
)
_STATUS = (
    *(f"{subject}status" for subject in _SUBJECTS), "workflowstate", "userstate", "accountstate", "statut",
)
_ACTIVE = (
    "enableduser", "enabled", "isenabled", "accountenabled", "userenabled", "active", "isactive", "useractive",
    "currentlyactive", "activeuser", "activeemployee", "availableind", "aktiv", "actif", "activo", "ativo",
    "attivo", "actief",
)
_INACTIVE = (
    "deleted", "isdeleted", "tobedeleted", "suspended", "issuspended", "disabled", "isdisabled", "accountdisabled",
    "inactive", "isinactive", "archived", "isarchived", "deactivated", "isdeactivated", "terminated",
    "isterminated", "leaver", "isleaver", "hasleft", "blocked", "isblocked", "blockcredential", "signinblocked",
)
# fmt: on
#: What directories and forms write after a heading: `Status [READ ONLY]`, `Active (Y/N)`, `Active?`.
_AFTER_HEADING = re.compile(r"\s*(?:\[[^\]]*\]|\([^)]*\)|\?)\s*$")
#: By heading, as `normalize_heading` returns it: the values that mean inactive.
_COLUMNS: Mapping[str, Collection[str]] = MappingProxyType(
    dict.fromkeys(_STATUS, _WORDS)
    | dict.fromkeys(_ACTIVE, _FALSE | _WORDS)
    | dict.fromkeys(_INACTIVE, _TRUE | _WORDS)
)


@dataclass(frozen=True, slots=True)
class StatusColumns:
    """The status columns of a roster: position, heading, and the values that mean inactive."""

    columns: tuple[tuple[int, str, Collection[str]], ...]

    def mark_of(self, cells: Sequence[str]) -> Problem | None:
        """Return why a row is left out as inactive; None when it is not."""
        for at, heading, values in self.columns:
            if at < len(cells) and cells[at] and _folded(cells[at]) in values:
                message = f"The roster marks this row as inactive ({heading} is {quote(clean(cells[at]))})"
                return Problem(column=heading, code=ProblemCode.INACTIVE_IN_SOURCE.value, message=message)
        return None


def status_columns(headings: Headings) -> StatusColumns:
    """Return the status columns among the headings that match no column; --map "status=" takes one out."""
    return StatusColumns(
        tuple(
            (at, clean(name), _COLUMNS[folded])
            for at, (name, column) in enumerate(zip(headings.names, headings.columns, strict=True))
            if column is None and at not in headings.mapped and (folded := _bare(name)) in _COLUMNS
        )
    )


def _bare(heading: str) -> str:
    return normalize_heading(_AFTER_HEADING.sub("", clean(heading)[:MATCHED_CHARACTERS]))


def _folded(cell: str) -> str:
    return "".join(letter for letter in clean(cell).lower() if letter not in " _-")
