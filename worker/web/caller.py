"""The caller of a request: an account, a local user while there are no accounts, or an anonymous one."""

from __future__ import annotations

from dataclasses import dataclass

from worker.model import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """Who asks: an account, somebody at this machine while there are no accounts (`-`), or a stranger (no role)."""

    name: str
    role: Role | None
    #: What a form must send back as `csrf`, or a script as X-CSRF-Token.
    csrf: str
    #: Whether the request carries an API token: no other site's page can make a browser send one.
    by_token: bool = False

    def may(self, needed: Role) -> bool:
        """Tell whether they may do what needs that role; for showing a button or not."""
        return self.role is not None and self.role.includes(needed)


STRANGER = Who(name="", role=None, csrf="")
