"""Create, update and delete people. Creating and deleting are all or nothing; an update lets each record alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from worker.sandbox.messages import Answer, Refused
from worker.sandbox.moodle.errors import custom, invalid
from worker.sandbox.moodle.options import Version
from worker.sandbox.moodle.permissions import Permissions
from worker.sandbox.moodle.site import ADMIN, GUEST, SERVICE, Account, Site

#: Plugins that are there, whether or not the site uses them; those that keep no password of their own.
_NO_PASSWORD = frozenset({"cas", "db", "ldap", "lti", "mnet", "oauth2", "shibboleth"})
_AUTH = _NO_PASSWORD | {"email", "manual", "nologin", "none", "webservice"}
_EMAIL = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z0-9-]{2,}"
)
#: The longest texts that the table takes.
_LONGEST = {
    "username": 100,
    "firstname": 100,
    "lastname": 100,
    "email": 100,
    "idnumber": 255,
    "department": 255,
    "institution": 255,
    "city": 120,
}
_POLICY = (
    (re.compile(r".{8}", re.DOTALL), "Passwords must be at least 8 characters long."),
    (re.compile(r"\d"), "Passwords must have at least 1 digit(s)."),
    (re.compile(r"[a-z]"), "Passwords must have at least 1 lower case letter(s)."),
    (re.compile(r"[A-Z]"), "Passwords must have at least 1 upper case letter(s)."),
    (
        re.compile(r"[^a-zA-Z0-9]"),
        "The password must have at least 1 special character(s) such as as *, -, or #.",
    ),
)
_COLUMNS = frozenset({"username", "firstname", "lastname", "email", "idnumber", "auth", "suspended"})
#: Of a country's code; every other text, and XX, is stored as no country.
_COUNTRY_LENGTH = 2
_MUST_CHANGE = "auth_forcepasswordchange"
#: Does the work at the end of the call and returns the answer.
Finish = Callable[[], Answer]


class Users:
    """The functions that change people."""

    def __init__(self, site: Site, permissions: Permissions) -> None:
        self.site = site
        self.options = site.options
        self.permissions = permissions

    def create(self, users: list[dict[str, Any]], at: float) -> Finish:
        """Check the records one by one; the first that is wrong undoes all, its id and those before it used up."""
        self.permissions.need("moodle/user:create", "Create users")
        if not users:
            raise invalid()
        made: list[Account] = []
        mailed: list[str] = []
        for user in users:
            account = self._account(user, made, at)
            made.append(account)
            if user.get("createpassword"):
                account.preferences[_MUST_CHANGE] = "1"
                mailed.append(account.email)
                if self._mails_inside:
                    self.site.mailed.append(account.email)

        def finish() -> Answer:
            # Meanwhile another call may have made them: the database's index refuses, and undoes all.
            if any(self.site.by_username(each.username) for each in made):
                raise Refused(self.permissions.error("dmlwriteexception"))
            for each in made:
                self.site.add(each)
            if not self._mails_inside:
                self.site.mailed.extend(mailed)
            return Answer(status=200, payload=[{"id": each.id, "username": each.username} for each in made])

        return finish

    def update(self, users: list[dict[str, Any]], at: float) -> Finish:  # noqa: ARG002 each function gets the time
        """Save the records that can be saved; a warning for each other one."""
        self.permissions.need("moodle/user:update", "Update user profiles")

        def finish() -> Answer:
            warnings = [warning for user in users if (warning := self._update(user))]
            return Answer(status=200, payload={"warnings": warnings})

        return finish

    def delete(self, userids: list[int], at: float) -> Finish:
        """Delete people, all or none."""
        self.permissions.need("moodle/user:delete", "Delete users")
        old = self.options.version is Version.OLD

        def finish() -> Answer:
            for id_ in userids:
                account = self.site.accounts.get(id_)
                if account is None or account.deleted:
                    raise Refused(self.permissions.error("invaliduser" if old else "invalidrecordunknown"))
                if id_ in {ADMIN, SERVICE}:
                    raise Refused(
                        self.permissions.error("useradminodelete" if id_ == ADMIN else "usernotdeletederror")
                    )
            for id_ in userids:
                self.site.delete(self.site.accounts[id_], at)
            return Answer(status=200, payload=None)

        return finish

    @property
    def _mails_inside(self) -> bool:
        chosen = self.options.mails_inside
        return self.options.version is Version.OLD if chosen is None else chosen

    def _account(self, user: dict[str, Any], before: list[Account], at: float) -> Account:
        """Return a record as an account, or refuse the call; `before` are those of the same transaction."""
        email = user["email"]
        taken = self.site.by_username(user["username"]) or any(each.username == user["username"] for each in before)
        if taken or not user["username"] or not user["firstname"].strip() or not user["lastname"].strip():
            raise invalid()
        self._check_plugins(user)
        if not is_email(email):
            raise invalid()
        if not self.options.same_email:
            sent = {each.email.lower() for each in before}
            if self.site.by_email(email) or email.lower() in sent:
                raise invalid()
        self._check_password(user)
        # From here on the database: an id is used up, and texts that are too long fail.
        id_ = self.site.next_account_id()
        if any(len(str(user.get(name, ""))) > most for name, most in _LONGEST.items()):
            raise Refused(self.permissions.error("dmlwriteexception"))
        account = Account(
            id_,
            user["username"],
            user["firstname"],
            user["lastname"],
            email,
            idnumber=user.get("idnumber", ""),
            auth=user.get("auth", "manual"),
            created=at,
        )
        self._set_further(account, user)
        return account

    def _check_plugins(self, user: dict[str, Any]) -> None:
        auth = user.get("auth", "manual")
        if auth not in _AUTH or user.get("lang", "en") not in self.options.languages:
            raise invalid()
        if auth not in _NO_PASSWORD and not user.get("password") and not user.get("createpassword"):
            raise invalid()

    def _check_password(self, user: dict[str, Any]) -> None:
        if user.get("createpassword") or user.get("auth", "manual") in _NO_PASSWORD:
            return
        faults = [text for pattern, text in _POLICY if not pattern.search(user["password"])]
        if faults:
            html = "".join(f"<div>{text}</div>" for text in faults)
            raise Refused(self.permissions.wrap(custom, "moodle_exception", html, f"error/{html}"))

    def _set_further(self, account: Account, user: dict[str, Any]) -> None:
        """Set what has no column of its own; custom fields that the site does not have are ignored in silence."""
        further = {name: value for name, value in user.items() if name not in _COLUMNS and isinstance(value, str)}
        further.pop("password", None)
        account.fields |= further
        country = account.fields.get("country", "")
        if len(country) != _COUNTRY_LENGTH or country == "XX":
            account.fields.pop("country", None)
        for pair in user.get("customfields", []):
            if pair["type"] in self.options.profile_fields:
                account.profile[pair["type"]] = pair["value"]
        account.preferences |= {pair["type"]: pair["value"] for pair in user.get("preferences", [])}

    def _update(self, user: dict[str, Any]) -> dict[str, Any] | None:
        account = self.site.accounts.get(user["id"])
        code, message = self._fault_of(account, user)
        if code or account is None:
            return {"item": "user", "itemid": user["id"], "warningcode": code, "message": message}
        if "username" in user and user["username"] != account.username:
            self.site.rename(account, user["username"])
        if "email" in user:
            self.site.readdress(account, user["email"])
        for name in ("firstname", "lastname", "idnumber", "auth", "suspended"):
            if name in user:
                setattr(account, name, user[name])
        self._set_further(account, user)
        return None

    def _fault_of(self, account: Account | None, user: dict[str, Any]) -> tuple[str, str]:
        if account is None:
            return "invaliduserid", "Invalid user ID"
        if account.deleted or account.id in {ADMIN, GUEST}:
            kind = "deleted" if account.deleted else "admin" if account.id == ADMIN else "guest"
            return f"usernotupdated{kind}", f"Cannot update a {kind} account"
        email = user.get("email", account.email)
        if not is_email(email):
            return "useremailinvalid", "Invalid email address"
        others = [each for each in self.site.by_email(email) if each.id != account.id]
        if others and "email" in user and not self.options.same_email:
            return "useremailduplicate", "Duplicate address"
        namesake = self.site.by_username(user.get("username", account.username))
        too_long = any(len(str(user.get(name, ""))) > most for name, most in _LONGEST.items())
        if too_long or (namesake is not None and namesake.id != account.id):
            return "dmlwriteexception", "Error writing to database"
        return "", ""


def is_email(text: str) -> bool:
    """Whether Moodle takes an address: ASCII, with a dot in its domain."""
    return bool(_EMAIL.fullmatch(text)) and ".." not in text and not text.startswith(".")
