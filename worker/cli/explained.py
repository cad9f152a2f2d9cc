"""What the terminal shows of an error besides its message: texts of the file, for the person who has it."""

from __future__ import annotations

from worker.errors import MissingColumns, RosterError, UncertainEncoding, UnknownHeading
from worker.intake.problems import quote


def explained(error: RosterError) -> str:
    """Return the message of an error, with the headings of the file or sample names when one must be chosen."""
    if isinstance(error, UncertainEncoding) and error.readings:
        listed = "\n".join(f"  {codec}: {names}" for codec, names in error.readings.items())
        return f"{error}\nThe encoding is the one in which these names look right:\n{listed}"
    if isinstance(error, MissingColumns | UnknownHeading) and error.headings:
        return f"{error}\nThe headings are {', '.join(map(quote, error.headings))}."
    return str(error)
