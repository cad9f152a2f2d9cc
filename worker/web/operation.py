"""An operation of the API, as data: the routes and the OpenAPI description are made from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import BaseModel

    from worker.web.auth import Endpoint

JSON, EVENT_STREAM, MULTIPART = "application/json", "text/event-stream", "multipart/form-data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation: its method and path, its request and its responses."""

    method: str
    path: str
    endpoint: Endpoint
    #: The response when it succeeds.
    status: int = 200
    media_type: str = JSON
    response: type[BaseModel] | None = None
    is_list: bool = False
    #: The model of the request body, and its media type.
    body: type[BaseModel] | None = None
    body_type: str = JSON
    #: Whether a request without a body is one whose fields have their defaults.
    is_body_optional: bool = False
    #: Statuses of the errors that it may return, as problem details.
    errors: tuple[int, ...] = ()
    #: Numbers in the query: name → maximum.
    query: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_public(self) -> bool:
        """Return whether anonymous callers may call it."""
        return not hasattr(self.endpoint, "required_role")
