"""The composition root: from settings to the ledger and to sessions with LMSs. Nothing is opened at import."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker import lms, settings
from worker.errors import SettingsError
from worker.intake.storage import check_writable, is_address
from worker.ledger import jobs, key_value, learned_limits, rows
from worker.ledger.database import now, open_engine, sqlite_file
from worker.ledger.high_water import HighWaterMark
from worker.ledger.leases import owner_name
from worker.ledger.transactions import Ledger
from worker.private_files import make_private, make_tree_private, use_scratch_below

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.errors import RosterError
    from worker.ledger.database import Transaction
    from worker.lms.http import LmsClient, LmsSession
    from worker.pace.description import PaceDescription
    from worker.pace.limiter import RateLimiter
    from worker.pace.rate import Rate
    from worker.pace.stores.memory import PaceStore
    from worker.registration.context import JobContext
    from worker.settings import Connection, Settings

#: Folders below `files` that only Roster uses.
PRIVATE_FOLDERS = ("uploads", "drafts", "tmp", "reports")
#: The names of stored rosters: the beginning of their fingerprint.
_STORED = re.compile(r"[0-9a-f]{32}(\.|$)")
#: A call whose permit was never released holds its slot for this much longer than its timeout (seconds).
LEASE_MARGIN_SECONDS = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What commands, the page, the API and the workers work with."""

    settings: Settings
    ledger: Ledger
    owner: str
    #: The configuration file that was given; without it, the usual one.
    config: Path | None = None

    @property
    def files(self) -> Path:
        """Return the folder of this machine for uploads and drafts."""
        return Path(self.settings.scratch if is_address(self.settings.files) else self.settings.files)

    @property
    def store(self) -> str:
        """Return where rosters and reports are stored, for every machine: a path or an address."""
        return self.settings.files

    def connection(self, name: str | None) -> Connection:
        """Return the connection of that name, or the only one when no name is given.

        Raises SettingsError that names the configured ones.
        """
        raw = self.settings.connections
        if not raw:
            raise _no_connection()
        known = ", ".join(sorted(raw))
        if name is None:
            if len(raw) > 1:
                raise SettingsError(f"Choose a connection with --to NAME, one of {known}")
            name = next(iter(raw))
        found = next((key for key in raw if key.casefold() == name.casefold()), None)
        if found is None:
            raise SettingsError(f"There is no connection {name!r}; configured are {known}")
        connection = lms.read_connection(found, raw[found])
        configured_rate(connection)
        return connection

    def warnings(self, connection: Connection) -> list[str]:
        """Return what a person should know about the configuration."""
        literal = lms.literal_secrets(connection, self.settings.connections[connection.name])
        return list(literal)

    def known_rate(self, tx: Transaction, connection: Connection) -> float | None:
        """Return the calls per second that are configured, or that were found when the credential was last used."""
        configured = configured_rate(connection)
        if configured is not None:
            return configured.per_second
        stored = key_value.get(tx, pace_key(connection)) or {}
        return float(stored.get("rate") or 0) or None

    def stated_quotas(self, tx: Transaction, connection: Connection) -> list[dict[str, Any]]:
        """Return the limits that the LMS states, as they were when the credential was last used."""
        return list((key_value.get(tx, pace_key(connection)) or {}).get("quotas") or [])

    def has_settled_pace(self, tx: Transaction, connection: Connection) -> bool:
        """Return whether a forecast can be made of the known rate: it is not while it is still searched for."""
        stored = key_value.get(tx, pace_key(connection)) or {}
        return configured_rate(connection) is not None or bool(stored.get("is_settled", True))

    def describe_pace(self, tx: Transaction, connection: Connection) -> PaceDescription:
        """Return how the pace of a connection is known, why, and until when it waits."""
        from worker.pace.description import describe  # noqa: PLC0415

        stored = key_value.get(tx, pace_key(connection)) or {}
        return describe(stored, configured_rate(connection), now=now())


def _no_connection() -> SettingsError:
    return SettingsError(
        "No connection is configured. `roster init` writes a roster.toml with one, for example:\n\n"
        f"{settings.EXAMPLE}"
    )


def read_settings(config: Path | None) -> Settings:
    """Read the configuration. Raises SettingsError, also for a key of a connection or receiver that is not known.

    No secret is read: a command that uses no connection needs none.
    """
    read = settings.load(config)
    unknown = [*lms.unknown_keys(read.connections), *settings.unknown_message_keys(read)]
    if unknown:
        raise SettingsError(f"The configuration: {'; '.join(unknown)}")
    return read


def open_services(
    config: Path | None, *, make_ledger: bool = True, needs_connection: bool = False, ledger: str = ""
) -> Services:
    """Read the configuration and open the ledger, or make it. Raises SettingsError or UsageError.

    `needs_connection`: without any connection nothing is made. `ledger` is the address of another ledger.
    """
    read = read_settings(config)
    if needs_connection and not read.connections:
        raise _no_connection()
    if is_address(read.files):
        check_writable(read.files)
    opened = Ledger(open_engine(ledger or read.ledger, make=make_ledger))
    services = Services(settings=read, ledger=opened, owner=owner_name(), config=config)
    use_scratch_below(services.files)
    _make_folders_private(services)
    return services


def _make_folders_private(services: Services) -> None:
    """Take the rights of others on `files` away, unless it has this ledger or this command's folder in it."""
    files = services.files.resolve()
    ledger = sqlite_file(services.ledger.engine.url)
    shared = [Path.cwd(), *([ledger.parent] if ledger else [])]
    if not any(folder.is_relative_to(files) for folder in shared):
        make_private(files)
    for name in PRIVATE_FOLDERS:
        make_private(files / name)


def make_uploads_private(services: Services) -> None:
    """Take the rights of others on uploads, drafts and stored rosters of an earlier version away."""
    for name in ("uploads", "drafts"):
        make_tree_private(services.files / name)
    with suppress(OSError), os.scandir(services.files) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False) and _STORED.match(entry.name):
                make_private(Path(entry.path))


def stored_rosters(services: Services) -> list[Path]:
    """Return the rosters that are stored on this machine, by name; none of a store elsewhere."""
    if is_address(services.store):
        return []
    with suppress(OSError), os.scandir(services.files) as entries:
        return sorted(
            Path(entry.path).resolve()
            for entry in entries
            if entry.is_file(follow_symlinks=False) and _STORED.match(entry.name)
        )
    return []


def credential_of(connection: Connection) -> str:
    """Return a name for the credential: host and account, without the secret itself."""
    proof = "|".join(f"{name}={value}" for name, value in sorted(lms.credentials_of(connection).items()))
    return hashlib.sha256(f"{connection.base_url}|{proof}".encode()).hexdigest()[:32]


def pace_key(connection: Connection) -> str:
    """Return the key under which the ledger stores the pace of a credential."""
    return f"pace:{credential_of(connection)}"


def configured_rate(connection: Connection) -> Rate | None:
    """Return the rate that the configuration sets; raises SettingsError when it is not a rate."""
    from worker.pace.rate import parse_rate  # noqa: PLC0415

    try:
        return parse_rate(connection.rate) if connection.rate else None
    except ValueError as error:
        raise SettingsError(f"connections.{connection.name}.rate: {error}") from None


def open_limiter(services: Services, connection: Connection) -> RateLimiter:
    """Return the rate limiter of an account, at the pace that was found when the credential was last used."""
    from worker.pace.limiter import RateLimiter  # noqa: PLC0415

    return RateLimiter(_open_store(services, connection), max_in_flight=connection.max_in_flight)


def _open_store(services: Services, connection: Connection) -> PaceStore:
    """Return the store of the pace: in this process, or in the broker's Redis for all processes."""
    from worker.pace.state import Limits  # noqa: PLC0415
    from worker.pace.stores import persistence  # noqa: PLC0415
    from worker.pace.stores.memory import MemoryStore  # noqa: PLC0415

    with services.ledger.read() as tx:
        stored = key_value.get(tx, pace_key(connection)) or {}
    bounds = Limits(max_in_flight=connection.max_in_flight, rate=configured_rate(connection))
    found = persistence.from_memory(stored, now=now())
    quotas = persistence.quotas_from_memory(stored, now=now())
    not_before = float(stored.get("not_before") or 0)
    if not services.settings.broker:
        return MemoryStore(bounds, found=found, quotas=quotas, not_before=not_before)
    from worker.pace.stores.redis import RedisStore, open_redis  # noqa: PLC0415 - 100 ms that only a queue costs

    return RedisStore(
        open_redis(services.settings.broker),
        credential_of(connection),
        bounds,
        process=services.owner,
        lease_seconds=connection.timeout_seconds + LEASE_MARGIN_SECONDS,
        found=found,
        quotas=quotas,
        not_before=not_before,
    )


def open_lms_session(services: Services, connection: Connection) -> LmsSession:
    """Open a session with a connection's LMS, shared by all jobs of its account."""
    from worker.lms.http import open_session  # noqa: PLC0415 - 250 ms for commands that call an LMS

    return open_session(
        connection.base_url,
        lms.headers_of(connection),
        open_limiter(services, connection),
        in_flight=connection.max_in_flight,
        timeout_seconds=connection.timeout_seconds,
    )


def open_lms_client(session: LmsSession, job_id: int) -> LmsClient:
    """Return the client of a job over an open session."""
    from worker.lms.http import LmsClient  # noqa: PLC0415

    return LmsClient(session=session, queue=str(job_id))


def high_water_mark(services: Services) -> HighWaterMark:
    """Return the file that shows that the ledger is older than what was sent with it."""
    return HighWaterMark(services.files)


def open_job_context(
    services: Services,
    connection: Connection,
    job_id: int,
    client: LmsClient,
    stopping: Callable[[], RosterError | None],
) -> JobContext:
    """Return the context in which this process runs a job; `stopping` returns why nothing more may be sent."""
    from worker.registration.breaker import CircuitBreaker  # noqa: PLC0415
    from worker.registration.context import JobContext  # noqa: PLC0415

    connector = lms.connect(connection, client)
    with services.ledger.read() as tx:
        proven = rows.proven_courses(tx, connection.name)
        cut_off = learned_limits.last_cut_off(tx, connection.name)
        job = jobs.find_job(tx, job_id)
    context = JobContext(
        job_id=job_id,
        connection=connection.name,
        owner=services.owner,
        ledger=services.ledger,
        connector=connector,
        client=client,
        breaker=CircuitBreaker(connection.breaker, proven=proven),
        lookup_pauses=connection.lookup_pauses,
        doubt_seconds=connection.doubt_minutes * 60,
        rows_per_call=cut_off.cap_rows(connector.rules.rows_per_call),
        people_per_create=cut_off.cap_people(sys.maxsize),
        stop_reason=stopping,
        update_existing=job is not None and bool(job.options.get("update_existing")),
        again=job is not None and bool(job.options.get("again")),
    )
    client.rows_left = lambda: context.rows_left
    return context
