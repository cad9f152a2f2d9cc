"""What the pretend Moodle is like: its version, its database, its limits, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from worker.sandbox.choices import SeedRegistrations


class Version(StrEnum):
    """The two servers that were measured; 4.5 answers as 5.1 does in all that is pretended here."""

    NEW = "5.1"
    LONG_TERM = "4.5"
    OLD = "4.3"

    @property
    def number(self) -> str:
        """Return the version as site info has it."""
        return {"5.1": "2025100600.02", "4.5": "2024100706", "4.3": "2023100900"}[self]

    @property
    def release(self) -> str:
        """Return the release as site info has it."""
        return {
            "5.1": "5.1+ (Build: 20251017)",
            "4.5": "4.5.6 (Build: 20250811)",
            "4.3": "4.3 (Build: 20231009)",
        }[self]


class Database(StrEnum):
    """Which database the site is on: PostgreSQL compares texts exactly, MariaDB in any letter case."""

    POSTGRESQL = "pg"
    MARIADB = "maria"


class SiteState(StrEnum):
    """What is wrong with the site or its service account; each is answered in a way of its own."""

    WELL = "well"
    #: The token is found to be expired, and deleted by that call.
    TOKEN_EXPIRED = "token-expired"  # noqa: S105 no secret
    #: Not on the service's list, barred by address, service off: all answer alike.
    ACCESS = "accessexception"
    SUSPENDED = "wsaccessusersuspended"
    OFF = "off"
    MAINTENANCE = "sitemaintenance"
    #: By command line: before any of Moodle's code.
    MAINTENANCE_503 = "maintenance-503"
    UPGRADE = "upgraderunning"
    DATABASE_DOWN = "dbconnectionfailed"
    PHP_DOWN = "502"
    POLICY = "sitepolicynotagreed"
    PASSWORD = "forcepasswordchangenotice"  # noqa: S105 no secret


#: What the service account may do, as a site that is set up well has it.
CAPABILITIES = frozenset(
    {
        "webservice/rest:use",
        "moodle/user:create",
        "moodle/user:update",
        "moodle/user:delete",
        "moodle/user:viewdetails",
        "moodle/user:viewalldetails",
        "moodle/site:viewuseridentity",
        "moodle/course:view",
        "moodle/course:viewhiddencourses",
        "enrol/manual:enrol",
        "enrol/manual:unenrol",
        "moodle/role:assign",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MoodleCourse:
    """A course; `methods` are its enabled enrolment methods."""

    id: int
    fullname: str
    shortname: str
    idnumber: str = ""
    visible: bool = True
    methods: tuple[str, ...] = ("manual",)


#: The courses: three good ones, two of one full name, one without manual enrolment, one hidden.
COURSES = (
    MoodleCourse(id=58, fullname="Fire Safety", shortname="FIRE", idnumber="C-58"),
    MoodleCourse(id=59, fullname="First Aid", shortname="AID", idnumber="C-59"),
    MoodleCourse(id=60, fullname="Manual Handling", shortname="LIFT", idnumber="C-60", methods=("manual", "self")),
    MoodleCourse(id=61, fullname="Ambiguous", shortname="AMB-1", idnumber="C-61"),
    MoodleCourse(id=62, fullname="Ambiguous", shortname="AMB-2", idnumber="C-62"),
    MoodleCourse(id=63, fullname="House Rules", shortname="RULES", idnumber="C-63", methods=("self",)),
    MoodleCourse(id=64, fullname="Coming Soon", shortname="SOON", idnumber="C-64", visible=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MoodleOptions:
    """Everything that may be chosen of the pretend Moodle; in `make_state` each begins with `moodle_`."""

    token: str = "sandbox-moodle-token"  # noqa: S105 the sandbox's token opens nothing
    more_tokens: tuple[str, ...] = ()
    version: Version = Version.NEW
    database: Database = Database.POSTGRESQL
    #: The site's own address; asked under another one it redirects. Empty: any will do.
    wwwroot: str = ""
    #: Form fields that PHP reads (one more, in fact); the rest vanish in silence.
    max_input_vars: int = 1000
    #: Bytes of a body: PHP forgets all fields of a longer one; the web server refuses it with 413.
    post_max_size: int = 8 * 1024 * 1024
    client_max_body_size: int = 1024 * 1024
    #: Capabilities taken away from the service account, and the further one that 4.3 needs for names.
    lacks: frozenset[str] = frozenset()
    views_full_names: bool = False
    #: Functions that the service does not hold.
    without: frozenset[str] = frozenset()
    state: SiteState = SiteState.WELL
    courses: tuple[MoodleCourse, ...] = COURSES
    #: People before the first call, `person1@example.com`, id number `P-1` and so on, and who is on a course.
    seed_users: int = 0
    registered: tuple[SeedRegistrations, ...] = ()
    #: Short names of custom profile fields.
    profile_fields: tuple[str, ...] = ("staffid", "shoeSize")
    #: Roles that the account may assign: id and short name.
    roles: tuple[tuple[int, str], ...] = ((5, "student"), (4, "teacher"), (3, "editingteacher"))
    languages: frozenset[str] = frozenset({"en"})
    #: Site settings, off by default: `allowaccountssameemail`, `extendedusernamechars`.
    same_email: bool = False
    extended_usernames: bool = False
    #: Mails of `createpassword` leave before the transaction ends, as 4.3 has it; None: as the version has it.
    mails_inside: bool | None = None
    #: Times the measured cost of a call: 25 ms, and 8 ms a created user, 5 an enrolment, 3.5 a row found.
    #: The work appears at the end of that time, whether or not the client is still there. 0: at once.
    slowness: float = 0.0
