"""The keys of a Moodle connection in roster.toml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from worker.settings import Connection, Secret, Text

#: Environment variables are strings.
Role = Annotated[int, BeforeValidator(lambda value: int(value) if str(value).isdecimal() else value), Field(ge=1)]
#: Sign-in methods for which Moodle demands a password when a user is created.
_NEED_PASSWORD = frozenset({"manual", "nologin", "email", "none", "webservice"})


class MoodleConnection(Connection):
    """An account of Moodle's web services in roster.toml."""

    system: Literal["moodle"]
    #: The site's own address, exactly.
    base_url: str = Field(examples=["https://moodle.example.com"])
    #: The token of the service account.
    token: Secret
    #: The number of the role that people are enrolled with; a new site's Student is 5.
    role: Role = Field(examples=[5])
    #: How a new person gets a password: Moodle makes one and mails it, a random one that must be changed at the
    #: first sign-in, or none, for sign-in methods without one.
    password: Literal["mail", "change", "none"] = "mail"  # noqa: S105 - a choice, no password
    #: The sign-in method of new people.
    auth: str = Field(default="manual", pattern=r"^[a-z][a-z0-9_]*$")
    #: Rows for each task, and for each creating and enrolling call.
    batch_size: int = Field(default=50, ge=1, le=500)
    #: Calls in flight; more than the server has processors only wait there.
    max_in_flight: int = Field(default=4, ge=1, le=256)
    #: How long a response may take before it counts as lost.
    timeout_seconds: float = Field(default=60.0, gt=0, le=600)
    #: A call whose answer was lost goes on at the site, and all of its people appear at its end.
    lookup_pauses: tuple[float, ...] = Field(default=(1.0, 3.0, 8.0), min_length=1)
    #: The server's max_input_vars: PHP drops the form fields after these without an error.
    fields_per_call: int = Field(default=1000, ge=50, le=100_000)
    #: What a withdrawal does: it suspends the enrolment, or removes it with its grades.
    withdraw: Literal["suspend", "unenrol"] = "suspend"
    #: The ID of a user who exists, other than the service account: finding them shows that look-ups work.
    known_user: Text | None = Field(default=None, pattern=r"^[0-9]+$")

    @model_validator(mode="after")
    def _password_fits_auth(self) -> MoodleConnection:
        if self.password == "none" and self.auth in _NEED_PASSWORD:  # noqa: S105 - a choice, no password
            raise ValueError(
                f'password: auth = "{self.auth}" needs a password; set password to "mail" or "change", or auth to '
                "a method without one"
            )
        return self


Settings = MoodleConnection
