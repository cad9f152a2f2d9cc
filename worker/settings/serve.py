"""`[serve]`: the web door."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Serve(BaseModel):
    """How `roster serve` is reached, and what it takes from whom."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    #: The address to listen on; another one than this machine's own needs an account (`roster user add`).
    host: str = "127.0.0.1"
    #: The port to listen on; 0 for any that is free.
    port: int = Field(default=8000, ge=0, le=65_535)
    #: The address under which people reach the page, when that is not host and port: https://roster.example.com.
    public_url: str = ""
    #: The addresses of the proxies in front, with commas; their X-Forwarded headers are believed, nobody else's.
    behind_proxy: str = ""
    #: The largest roster that is taken (MB).
    max_upload_mb: int = Field(default=100, ge=1, le=10_000)
    #: So long a sign-in holds after its last use (hours).
    session_hours: float = Field(default=12.0, gt=0, le=24 * 90)
    #: So many calls of the API a client may make in a minute, spread or at once.
    calls_per_minute: int = Field(default=6_000, ge=10)
    #: Whether /metrics is open to whoever reaches the port, accounts or not.
    open_metrics: bool = False
    #: Where Flower is, for the link on the page.
    flower_url: str = ""

    @field_validator("public_url", "flower_url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if value and (urlsplit(value).scheme not in {"http", "https"} or not urlsplit(value).hostname):
            raise ValueError("must be an address such as https://roster.example.com")
        return value.rstrip("/")
