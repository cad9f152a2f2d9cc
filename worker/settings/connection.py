"""`[connections.NAME]`: one account on one LMS."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Connection(BaseModel):
    """One account on one LMS; what every system has. A connector adds its own keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    #: The name behind `connections.` in roster.toml.
    name: str
    #: The connector: `tahdah` or `kmi`.
    system: str
    #: Where the API stands, without the paths of its pages.
    base_url: str
    #: Rows that one task works off, and that one registering call takes where the LMS has such a call.
    batch_size: int = Field(default=100, ge=1, le=10_000)
    #: Calls at once, over all who use this credential.
    max_in_flight: int = Field(default=8, ge=1, le=256)
    #: A limit somebody knows, such as `20/second`; without it the pace is found out.
    rate: str | None = None
    #: `http://` beyond this machine: the secrets then travel in the clear.
    allow_http: bool = False
    #: How long an answer may take before it counts as lost.
    timeout_seconds: float = Field(default=30.0, gt=0, le=600)
    #: So many refusals of one kind in a row put the job on hold.
    breaker: int = Field(default=10, ge=2)
    #: A look-up that finds nothing is believed after these pauses: an LMS may lag behind its own writes.
    lookup_pauses: tuple[float, ...] = Field(default=(0.5, 2.0, 6.0), min_length=1)
    #: The longest pause that `roster run` sits out; for a longer one the job waits and the command ends.
    longest_pause_seconds: float = Field(default=6 * 3600.0, ge=0)

    @field_validator("base_url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            good = False
        if not good or any(character.isspace() for character in value):
            raise ValueError("must be an address such as https://lms.example.com")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("must be an address alone, without user:password@, ? or #")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _http_is_for_loopback(self) -> Connection:
        parts = urlsplit(self.base_url)
        if parts.scheme == "http" and not self.allow_http and not is_loopback(parts.hostname or ""):
            raise ValueError(
                "base_url: http:// sends the secrets in the clear and is accepted for this machine only; "
                "use https://, or set allow_http = true"
            )
        return self


def is_loopback(host: str) -> bool:
    """Tell whether a name or address is this machine's own."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
