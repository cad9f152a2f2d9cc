"""Everything in roster.toml."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from worker.settings.folders import Folder
from worker.settings.secrets import Hidden
from worker.settings.serve import Serve

PREFIX = "ROSTER_"


class Settings(BaseSettings):
    """Everything in roster.toml; `connections` stays raw until its connector reads it."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        hide_input_in_errors=True,
    )

    #: The SQL database that holds the truth on jobs, rows and outcomes; also `env:NAME` or `file:/path`.
    ledger: Hidden = "sqlite:///roster.db"
    #: Where rosters and reports are kept: a folder, or an address such as `s3://bucket/prefix`.
    files: str = "roster-files"
    #: Where uploads wait and drafts lie when `files` is an address: a folder of this machine.
    scratch: str = "roster-scratch"
    #: `redis://host:6379/0`; also `env:NAME` or `file:/path`. Empty: this process does the work.
    broker: Hidden = Field(default="", repr=False)
    #: So many batches of a job are with the workers or in the broker at a time.
    window: int = Field(default=8, ge=1, le=1000)
    #: How often the ledger is searched for work that nobody was asked to do (seconds).
    sweep_seconds: float = Field(default=10.0, gt=0, le=600)
    #: How workers write their log: `text` or `json`.
    log: Literal["text", "json"] = "text"
    #: The web door: `[serve]`.
    serve: Serve = Field(default_factory=Serve)
    #: Raw tables by name; `worker.lms.read_connection` makes them `Connection`s.
    connections: dict[str, dict[str, Any]] = Field(default_factory=dict, repr=False)
    #: Raw tables of those who are told when a job ends or needs a person; `read_post` reads them.
    messages: dict[str, dict[str, Any]] = Field(default_factory=dict, repr=False)
    #: The raw table of the mail server through which e-mail goes.
    mail: dict[str, Any] = Field(default_factory=dict, repr=False)
    #: Raw tables by name; `watched` makes them `Folder`s.
    folders: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @field_validator("files")
    @classmethod
    def _as_path(cls, files: str) -> str:
        return files.removeprefix("file://")

    @property
    def watched(self) -> tuple[Folder, ...]:
        """Return the drop folders."""
        return tuple(Folder(name=name, **table) for name, table in self.folders.items())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file, which comes as the init values."""
        return env_settings, init_settings
