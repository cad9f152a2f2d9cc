"""The composition root: settings → the real ledger, connections and lines to LMSs. Nothing is opened at import."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from worker import lms, settings
from worker.errors import SettingsError
from worker.intake.storage import is_address, refuse_unwritable
from worker.ledger import jobs, key_value, rows
from worker.ledger.database import now, open_engine
from worker.ledger.leases import owner_name
from worker.ledger.transactions import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.errors import RosterError
    from worker.ledger.database import Transaction
    from worker.lms.http import Door, Wire
    from worker.pace.limiter import Gate
    from worker.pace.rate import Rate
    from worker.pace.stores.memory import PaceStore
    from worker.registration.context import Desk
    from worker.settings import Connection, Settings

#: A call that was given leave and never reported holds its slot for so much longer than it may take (seconds).
LEASE_MARGIN_SECONDS = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What a door hands to the core."""

    settings: Settings
    ledger: Ledger
    owner: str

    @property
    def files(self) -> Path:
        """Return the folder of this machine in which uploads wait and drafts lie."""
        return Path(self.settings.scratch if is_address(self.settings.files) else self.settings.files)

    @property
    def store(self) -> str:
        """Return where rosters and reports stay, for every machine: a path or an address."""
        return self.settings.files

    def connection(self, name: str | None) -> Connection:
        """Return the connection of that name, or the only one when no name is given.

        Raises SettingsError that names those there are.
        """
        raw = self.settings.connections
        if not raw:
            raise SettingsError(
                f"No connection is configured. Put one into roster.toml, for example:\n\n{settings.EXAMPLE}"
            )
        known = ", ".join(sorted(raw))
        if name is None:
            if len(raw) > 1:
                raise SettingsError(f"Say which connection to use: --to NAME, one of {known}")
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
        return [*settings.unknown_variables(), *literal]

    def known_rate(self, tx: Transaction, connection: Connection) -> float | None:
        """Return the calls a second that are configured, or that held when the credential was last used."""
        configured = configured_rate(connection)
        if configured is not None:
            return configured.per_second
        remembered = key_value.recall(tx, pace_memory(connection)) or {}
        return float(remembered.get("rate") or 0) or None


def open_services(config: Path | None) -> Services:
    """Read the configuration and open the ledger. Raises SettingsError or UsageError."""
    read = settings.load(config)
    if is_address(read.files):
        refuse_unwritable(read.files)
    return Services(settings=read, ledger=Ledger(open_engine(read.ledger)), owner=owner_name())


def credential_of(connection: Connection) -> str:
    """Return a name for the credential: host and account, without the secret itself."""
    proof = "|".join(f"{name}={value}" for name, value in sorted(lms.headers_of(connection).items()))
    return hashlib.sha256(f"{connection.base_url}|{proof}".encode()).hexdigest()[:32]


def pace_memory(connection: Connection) -> str:
    """Return the name under which the ledger remembers the pace of a credential."""
    return f"pace:{credential_of(connection)}"


def configured_rate(connection: Connection) -> Rate | None:
    """Return the rate that the configuration sets; raises SettingsError when it is written otherwise."""
    from worker.pace.rate import parse_rate  # noqa: PLC0415

    try:
        return parse_rate(connection.rate) if connection.rate else None
    except ValueError as error:
        raise SettingsError(f"connections.{connection.name}.rate: {error}") from None


def open_gate(services: Services, connection: Connection) -> Gate:
    """Return the gate before an LMS's calls, at the pace that held when the credential was last used."""
    from worker.pace.limiter import Gate  # noqa: PLC0415

    return Gate(_open_store(services, connection), max_in_flight=connection.max_in_flight)


def _open_store(services: Services, connection: Connection) -> PaceStore:
    """Return where the pace is kept: in this process, or in the broker's Redis for all who use it."""
    from worker.pace.state import Bounds  # noqa: PLC0415
    from worker.pace.stores import persistence  # noqa: PLC0415
    from worker.pace.stores.memory import MemoryStore  # noqa: PLC0415

    with services.ledger.read() as tx:
        remembered = key_value.recall(tx, pace_memory(connection)) or {}
    bounds = Bounds(max_in_flight=connection.max_in_flight, rate=configured_rate(connection))
    found = persistence.from_memory(remembered, now=now())
    not_before = float(remembered.get("not_before") or 0)
    if not services.settings.broker:
        return MemoryStore(bounds, found=found, not_before=not_before)
    from worker.pace.stores.redis import SharedStore, open_redis  # noqa: PLC0415 - 100 ms that only a queue costs

    return SharedStore(
        open_redis(services.settings.broker),
        credential_of(connection),
        bounds,
        process=services.owner,
        lease_seconds=connection.timeout_seconds + LEASE_MARGIN_SECONDS,
        found=found,
        not_before=not_before,
    )


def open_wire(services: Services, connection: Connection) -> Wire:
    """Open the line to a connection's LMS."""
    from worker.lms.http import open_wire as dial  # noqa: PLC0415 - 250 ms that only a talking command costs

    return dial(
        connection.base_url,
        lms.headers_of(connection),
        open_gate(services, connection),
        in_flight=connection.max_in_flight,
        timeout_seconds=connection.timeout_seconds,
    )


def open_door(wire: Wire, job_id: int) -> Door:
    """Return a job's way through an open line."""
    from worker.lms.http import Door  # noqa: PLC0415

    return Door(wire=wire, lane=str(job_id))


def open_desk(
    services: Services,
    connection: Connection,
    job_id: int,
    door: Door,
    stopping: Callable[[], RosterError | None],
) -> Desk:
    """Return the desk at which this process works on a job; `stopping` tells why nothing more may be sent."""
    from worker.registration.breaker import Breaker  # noqa: PLC0415
    from worker.registration.context import Desk  # noqa: PLC0415

    connector = lms.connect(connection, door)
    with services.ledger.read() as tx:
        proven = rows.proven_courses(tx, connection.name)
        job = jobs.find_job(tx, job_id)
    desk = Desk(
        job_id=job_id,
        connection=connection.name,
        owner=services.owner,
        ledger=services.ledger,
        connector=connector,
        door=door,
        breaker=Breaker(connection.breaker, proven=proven),
        lookup_pauses=connection.lookup_pauses,
        rows_per_call=connector.rules.rows_per_call,
        stopping=stopping,
        update_existing=job is not None and bool(job.options.get("update_existing")),
    )
    door.rows_left = lambda: desk.rows_left
    return desk
