"""`[folders.NAME]`: a folder in which rosters are dropped, and how they are read and sent."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, field_validator

from worker.settings.secrets import Text


class Folder(BaseModel):
    """A folder in which rosters are dropped. The options are those of `roster run` (contract §2)."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    #: The name behind `folders.` in roster.toml.
    name: str = Field(max_length=200)
    #: Where it is.
    path: str = Field(min_length=1)
    #: Through which connection its rosters go; may be left out when only one is configured.
    connection: str | None = None
    #: For rows that name no course: `58`, `name:Fire Safety` or `ext:C-58`.
    course: Text | None = None
    #: Values for the rows that leave a column empty.
    set: dict[str, Text] = Field(default_factory=dict)
    #: Heading → column.
    map: dict[str, str] = Field(default_factory=dict)
    #: The worksheet; without it, the first visible one that has data.
    sheet: str | None = None
    #: Of CSVs; without it, found out.
    encoding: str | None = None
    #: Any invalid row: nothing is sent.
    strict: bool = False
    #: Register even where the ledger already knows the registration.
    again: bool = False
    #: Bring people who are on the LMS already up to date before they are registered.
    update_existing: bool = False
    #: A file is whole when its size and time have not changed for so long.
    settle_seconds: float = Field(default=5.0, ge=0, le=3600)

    @field_validator("path")
    @classmethod
    def _is_no_address(cls, value: str) -> str:
        if "://" in value:
            raise ValueError("must be a folder of this machine or of a mounted share, not an address")
        return value


def two_of_one_path(folders: Sequence[Folder]) -> tuple[str, str] | None:
    """Return the names of two folders that are one and the same place, if there are such."""
    names: dict[str, str] = {}
    for folder in folders:
        place = os.path.normcase(os.path.abspath(folder.path))  # noqa: PTH100 - without following links
        if place in names:
            return names[place], folder.name
        names[place] = folder.name
    return None
