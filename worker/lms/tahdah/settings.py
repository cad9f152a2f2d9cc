"""The keys of a Tahdah connection in roster.toml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from worker.settings import Connection, Secret, Text

#: Environment variables are strings.
Behavior = Annotated[Literal[1, 2], BeforeValidator(lambda value: int(value) if str(value).isdigit() else value)]


class TahdahConnection(Connection):
    """A Tahdah account in roster.toml."""

    system: Literal["tahdah"]
    base_url: str = "https://api.tahdah.me"
    #: The API key, sent as bearer token.
    token: Secret
    #: The legal entity that registers, for rows that name none.
    legal_entity_id: Text | None = Field(default=None, examples=[42])
    #: The last segment of the path: `registrations`, or `learners` on the older one.
    registration_path: Literal["registrations", "learners"] = "registrations"
    #: 1 or 2, for rows that do not say. No default: its meaning is not documented.
    behavior: Behavior | None = Field(default=None, examples=[1])
    #: Roster column → field of a candidate, to add to or change the defaults; "" leaves a column out.
    candidate_fields: Mapping[str, str] = Field(default_factory=dict)
    #: The signing secret of its webhooks, which `roster serve` accepts at /hooks/NAME; without it none is accepted.
    webhook_secret: Secret | None = None


Settings = TahdahConnection
