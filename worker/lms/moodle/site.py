"""What a site says of itself and of the account: its version, the functions of the service, who exists."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from worker.errors import AnswerLost, Refused, StopJob
from worker.lms.contract import CALL_TOO_LARGE
from worker.lms.moodle.wire import CONTROL_FIELDS
from worker.lms.responses import as_id, field_of, objects_of

if TYPE_CHECKING:
    from worker.lms.moodle.wire import Api

#: From this version on mails are sent after the people of a call are committed (4.5).
MAILS_AFTER_COMMIT = 2024100700
#: On a new site user 1 is the guest and 2 the administrator; the IDs up to this one are looked up to find somebody.
_FIRST_IDS = 50
_DELETED = re.compile(r"\.\d{9,}$")
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
#: Values in one look-up; the answer has the whole profile of each, which takes the site 3 to 4 ms.
PEOPLE_PER_LOOKUP = 500
USERS_BY_FIELD = "core_user_get_users_by_field"
#: Nobody has this ID: it fills a look-up up to a number of form fields.
_NOBODY = "0"
#: PHP's own max_input_vars, tried first where fewer fields arrive than the connection says; enough for all.
_COMMON_LIMIT = 1000
#: A limit is measured to one in this number of fields.
_PRECISION = 20
#: Function → what cannot be done without it.
FUNCTIONS = {
    "core_user_create_users": "create people",
    USERS_BY_FIELD: "look people up",
    "core_user_get_users": "look people up by address in any letter case",
    "core_course_get_courses_by_field": "find courses",
    "core_course_get_courses": "find courses by their full name",
    "enrol_manual_enrol_users": "enrol people",
    "enrol_manual_unenrol_users": "remove enrolments",
    "core_enrol_get_enrolled_users": "list who is on a course",
    "core_user_update_users": "update and deactivate people",
}
#: What needs them only with some settings or rosters.
OPTIONAL_FUNCTIONS = frozenset(
    {"core_course_get_courses", "enrol_manual_unenrol_users", "core_user_update_users", "core_user_get_users"}
)
NO_USERS = (
    "The service account finds no other user, so nobody would be found who exists: give its role "
    "moodle/user:viewdetails in the system context (with it, set known_user to the ID of a user who exists)"
)
NO_USER_NAMES = "The service account is shown no user names: give its role moodle/user:viewalldetails"
NO_ADDRESSES = (
    "The service account is shown no e-mail addresses: give its role moodle/site:viewuseridentity, and keep "
    "Email address in the site's setting Show user identity"
)


#: What the account lacks when a look-up by this finds nobody.
NOT_FOUND = {"username": NO_USER_NAMES, "email": NO_ADDRESSES, "idnumber": NO_USER_NAMES}


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteInfo:
    """The site and the account, from core_webservice_get_site_info; without its secret keys."""

    user_id: str
    user_name: str
    version: int
    release: str
    functions: frozenset[str]

    @property
    def mails_after_commit(self) -> bool:
        """Whether nobody is mailed of an account that was rolled back."""
        return self.version >= MAILS_AFTER_COMMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownUser:
    """A user who exists: a look-up that does not find them finds nobody."""

    user_id: str
    user_name: str
    #: None when it is ill-formed, so that nobody can be looked up by it.
    email: str | None
    id_number: str | None

    def value_of(self, name: str) -> str | None:
        """Return their value of a field that people are looked up by."""
        return {"username": self.user_name, "email": self.email, "idnumber": self.id_number}[name]


@dataclass(slots=True)
class Site:
    """One site, read once for a job in this process."""

    api: Api
    known_user: str | None
    #: Values in one look-up; fewer where a gateway did not wait for the answer.
    values_per_lookup: int = PEOPLE_PER_LOOKUP
    _info: SiteInfo | None = None
    _known: KnownUser | None = None
    #: Batches that start together read each thing once.
    _reading_info: asyncio.Lock = field(default_factory=asyncio.Lock)
    _finding_known: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def info(self) -> SiteInfo:
        """Return what the site says of itself."""
        async with self._reading_info:
            if self._info is None:
                response = await self.api.read("site_info", "core_webservice_get_site_info", {})
                self._info = _site_info_of(response.body)
        return self._info

    async def offers(self, function: str) -> bool:
        """Return whether the service contains a function, as far as the site says what it contains."""
        functions = (await self.info()).functions
        return not functions or function in functions

    async def require(self, function: str) -> None:
        """Raise StopJob when the service does not contain a function."""
        if not await self.offers(function):
            raise StopJob(
                "not_allowed",
                f"The service of this token does not contain {function}, which is needed to {FUNCTIONS[function]}; "
                "add it to the service, then resume the job",
            )

    async def known(self, ids: Sequence[str] = ()) -> KnownUser:
        """Return a user who exists and is not the account itself; `ids` are of such users.

        Raises StopJob that names the capability without which nobody is found.
        """
        async with self._finding_known:
            if self._known is None:
                self._known = await self._find_known(ids)
        return self._known

    async def _find_known(self, ids: Sequence[str]) -> KnownUser:
        """Find the known user, and out in the same call whether as many form fields arrive as are ever sent."""
        self.api.recall_limit()
        own = (await self.info()).user_id
        named = [self.known_user] if self.known_user else [*ids, *map(str, range(2, _FIRST_IDS + 1))]
        wanted = [each for each in dict.fromkeys(named) if each != own]
        # The account's own user is shown to it in any case: in the last field it shows that the whole call arrived.
        rows = await self._with_last_id(own, self.api.fields_per_call, wanted)
        has_arrived = _shows(rows, own)
        order = {user_id: place for place, user_id in enumerate(wanted)}
        rows = [row for row in rows if as_id(row.get("id")) not in {None, own} and not is_deleted(row)]
        rows.sort(key=lambda row: order.get(as_id(row.get("id")) or "", len(order)))
        missing = _missing_capabilities(rows)
        if missing:
            raise StopJob("not_allowed", "; ".join(missing))
        users = [_known_user_of(row) for row in rows if row.get("username")]
        # An ill-formed address such as root@localhost is shown, and cannot be looked up.
        known = max(users, key=lambda user: (user.email is not None, user.id_number is not None))
        if not has_arrived:
            await self._measure_calls(known.user_id)
        return known

    async def arrives(self, fields: int) -> bool:
        """Return whether as many form fields arrive now; when they do not, measure how many do."""
        known = await self.known()
        if await self._arrives(fields, known.user_id):
            return True
        await self._measure_calls(known.user_id)
        return False

    async def _measure_calls(self, user_id: str) -> None:
        """Find out how many form fields of a call arrive, by look-ups of a user who exists in the last field."""
        most = self.api.fields_per_call
        if await self._arrives(most, user_id):
            return
        arrived, too_many = CONTROL_FIELDS + 2, most
        if not await self._arrives(arrived, user_id):
            raise StopJob("not_allowed", NO_USERS)
        if most > _COMMON_LIMIT:
            arrived, too_many = await self._narrowed(_COMMON_LIMIT, user_id, arrived, most)
        # More than the common limit take no fewer calls: nothing is gained from people by the hundred in one.
        while arrived < _COMMON_LIMIT and too_many - arrived > max(1, arrived // _PRECISION):
            arrived, too_many = await self._narrowed((arrived + too_many) // 2, user_id, arrived, too_many)
        self.api.limit_fields(arrived)

    async def _narrowed(self, size: int, user_id: str, arrived: int, too_many: int) -> tuple[int, int]:
        return (size, too_many) if await self._arrives(size, user_id) else (arrived, size)

    async def _arrives(self, fields: int, user_id: str) -> bool:
        return _shows(await self._with_last_id(user_id, fields), user_id)

    async def _with_last_id(self, user_id: str, fields: int, others: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Look a user up by ID in the last one of a number of form fields, some others in the first ones.

        Returns no user where the server refuses a call of that size.
        """
        room = max(0, fields - CONTROL_FIELDS - 2)
        values = [*others[:room], *[_NOBODY] * (room - len(others)), user_id]
        try:
            return await self._read_users("id", values)
        except Refused as refused:
            if refused.code == CALL_TOO_LARGE and others:
                return await self.by_field("id", others)
            if refused.code == CALL_TOO_LARGE:
                return []
            raise _lookup_refused("id", refused) from None

    async def by_field(self, name: str, values: Sequence[str]) -> list[dict[str, Any]]:
        """Return the users with one of these values of a field, in the order of the database."""
        try:
            return await self._read_users(name, values)
        except Refused as refused:
            raise _lookup_refused(name, refused) from None

    async def _read_users(self, name: str, values: Sequence[str]) -> list[dict[str, Any]]:
        await self.require(USERS_BY_FIELD)
        return objects_of(
            await self.api.read("find_users", USERS_BY_FIELD, {"field": name, "values": list(values)})
        )

    async def check(self) -> str:
        """Return a sentence on the site and the account; raise StopJob that names all that the account lacks."""
        info = await self.info()
        lacking = {name for name in FUNCTIONS if info.functions and name not in info.functions}
        problems = [
            f"the service lacks {name} (to {FUNCTIONS[name]})" for name in sorted(lacking - OPTIONAL_FUNCTIONS)
        ]
        try:
            await self._check_lookups()
        except StopJob as stop:
            problems.append(stop.message)
        if problems:
            raise StopJob("not_allowed", "; ".join(problems))
        optional = [f"without {name} it cannot {FUNCTIONS[name]}" for name in sorted(lacking)]
        known = (await self.known()).user_id
        site = f"Moodle {info.release}, token of {info.user_name} accepted"
        said = f"Connection works; {site}, look-ups find user {known}"
        return "; ".join([said, *optional, *self._small_calls()])

    def _small_calls(self) -> list[str]:
        arriving, stated = self.api.fields_per_call, self.api.stated_fields
        if arriving == stated:
            return []
        said = f"of {stated} form fields (fields_per_call) about {arriving} arrive, so calls are made smaller"
        return [f"{said}; raise max_input_vars of the server"]

    async def _check_lookups(self) -> None:
        """Look a user who exists up in each way. Raises StopJob that names what the account lacks."""
        known = await self.known()
        for name in NOT_FOUND:
            value = known.value_of(name)
            rows = await self.by_field(name, [value]) if value else []
            if value and not any(as_id(row.get("id")) == known.user_id for row in rows):
                raise not_found(name, known)


def not_found(name: str, known: KnownUser) -> StopJob:
    """Return the error for a look-up that does not find a user who exists."""
    message = f"A look-up by {name} does not find user {known.user_id}, who exists. {NOT_FOUND[name]}"
    return StopJob("not_allowed", message)


def _lookup_refused(name: str, refused: Refused) -> StopJob:
    return StopJob("not_allowed", f"The site refuses to look people up by {name} ({refused}: {refused.code})")


def _shows(rows: Sequence[Mapping[str, Any]], user_id: str) -> bool:
    return any(as_id(row.get("id")) == user_id for row in rows)


def is_deleted(row: Mapping[str, Any]) -> bool:
    """Return whether a user was deleted: only a look-up by ID still shows them, under changed values."""
    return bool(_DELETED.search(str(row.get("username") or ""))) and "@" not in str(row.get("email") or "@")


def _missing_capabilities(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what the account lacks: what it is not shown of other users, it cannot look them up by."""
    if not rows:
        return [NO_USERS]
    lacking = [("username", NO_USER_NAMES), ("email", NO_ADDRESSES)]
    return [said for name, said in lacking if not any(row.get(name) for row in rows)]


def _known_user_of(row: Mapping[str, Any]) -> KnownUser:
    email = str(row.get("email") or "")
    return KnownUser(
        user_id=as_id(row.get("id")) or "",
        user_name=str(row.get("username") or ""),
        email=email if _ADDRESS.fullmatch(email) else None,
        id_number=str(row["idnumber"]) if row.get("idnumber") else None,
    )


def _site_info_of(body: Any) -> SiteInfo:
    user_id = as_id(field_of(body, "userid"))
    if user_id is None:
        raise AnswerLost("The site did not say which account the token is of", 200)
    functions = field_of(body, "functions")
    named = functions if isinstance(functions, list) else []
    version = str(field_of(body, "version") or "").partition(".")[0]
    return SiteInfo(
        user_id=user_id,
        user_name=str(field_of(body, "username") or ""),
        version=int(version) if version.isdecimal() else 0,
        release=str(field_of(body, "release") or ""),
        functions=frozenset(str(item.get("name")) for item in named if isinstance(item, dict)),
    )
