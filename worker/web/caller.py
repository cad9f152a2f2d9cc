"""The caller of a request, and what it may do."""

from __future__ import annotations

from dataclasses import dataclass

from worker.model import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An account, the local user while there are no accounts (named `-`), or an anonymous caller (no role)."""

    name: str
    role: Role | None
    #: What a form must send as its field `csrf`, or a script as the header X-CSRF-Token.
    csrf_token: str
    #: Whether the request carries an API token, which another site cannot make a browser send.
    uses_api_token: bool = False

    def has_role(self, needed: Role) -> bool:
        """Tell whether they may do what needs that role; for showing a button or not."""
        return self.role is not None and self.role.includes(needed)


ANONYMOUS = Caller(name="", role=None, csrf_token="")
