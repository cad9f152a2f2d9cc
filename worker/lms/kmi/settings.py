"""The keys of a KMI connection in roster.toml."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from worker.settings import Connection, Secret


class KmiConnection(Connection):
    """A KMI account in roster.toml."""

    system: Literal["kmi"]
    base_url: str = Field(examples=["https://lms.example.com/api/v2"])
    api_key: Secret
    api_secret: Secret
    #: Whether a new user without a login name gets their e-mail address as one (K-ext calls loginName required).
    login_from_email: bool = True


Settings = KmiConnection
