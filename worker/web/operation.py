"""An operation of the API, as data: the routes and the OpenAPI description are made from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import BaseModel

    from worker.web.auth import Endpoint


JSON, STREAM, FORM = "application/json", "text/event-stream", "multipart/form-data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call: where it stands, what it takes and gives."""

    method: str
    path: str
    endpoint: Endpoint
    #: What it answers when all is well.
    status: int = 200
    media: str = JSON
    gives: type[BaseModel] | None = None
    many: bool = False
    #: What it takes: a model of the body, and its media type.
    takes: type[BaseModel] | None = None
    takes_as: str = JSON
    #: What else it may answer, as problem details.
    refuses: tuple[int, ...] = ()
    #: Numbers in the query: name → the largest.
    query: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether strangers may call it."""
        return not hasattr(self.endpoint, "needs")
