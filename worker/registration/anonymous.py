"""What an LMS said, without the people it said it about: for the reason of a job, which is kept, listed and sent.

The rows of the report have the LMS's own words; they belong to the sender of the roster. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

from worker.safe_errors import HIDDEN, without_addresses

if TYPE_CHECKING:
    from worker.model import Candidate

#: Shorter values are parts of other words too often to mean a person.
_MIN_LENGTH = 2


def without_people(text: str, people: Iterable[Candidate]) -> str:
    """Return a text with each e-mail address, and each value of these people, replaced by an ellipsis."""
    text = without_addresses(text)
    for value in sorted({value for person in people for value in _values_of(person)}, key=len, reverse=True):
        if value.casefold() in text.casefold():
            text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", HIDDEN, text, flags=re.IGNORECASE)
    return text


def _values_of(person: Candidate) -> set[str]:
    values = asdict(person)
    found = [*values.pop("fields").values(), *(value for value in values.values() if value is not None)]
    whole = {str(value) for value in found}
    words = {word for value in whole for word in value.split()}
    return {value for value in whole | words if len(value) >= _MIN_LENGTH}
