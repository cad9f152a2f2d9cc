"""Check that all that jobs need works: ledger, files, queue, folders, schedules, connections, messages.

Returns values; `roster doctor` prints them. Each connection gets one harmless call.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from worker import bootstrap, control, lms
from worker.addresses import masked
from worker.errors import RosterError, SettingsError, UsageError
from worker.folders import watch
from worker.intake import storage
from worker.ledger import dropped_files, jobs, key_value, outbox, queue, schedules, sources
from worker.ledger.database import now, sqlite_files
from worker.ledger.dropped_files import DroppedFileState
from worker.ledger.high_water import OLDER
from worker.ledger.sources import SourceProblem
from worker.notifications import mail
from worker.notifications.delivery import DeliveryError
from worker.private_files import readable_by_others, scratch_folder
from worker.reports.labels import STATE_INFO, counted
from worker.reports.source_labels import problem_label
from worker.settings import literal_secrets, read_message_settings, secret_places
from worker.settings.loading import config_path
from worker.shadowing import shadowing_warning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.bootstrap import Services
    from worker.errors import MissingLedger
    from worker.ledger.jobs import Job
    from worker.ledger.outbox import Message
    from worker.ledger.schedules import Schedule
    from worker.ledger.sources import RosterSource
    from worker.settings import Connection, Folder, Mail

#: With less free space a job's ledger and reports may not fit (bytes).
MIN_FREE_BYTES = 200 * 1024 * 1024
#: A queue whose last sweep is later than due by more than this does not work (seconds).
MAX_SWEEP_DELAY = 60.0
#: How long the harmless call to an LMS may take (seconds).
PROBE_SECONDS = 30.0
#: Failed messages older than this are not reported (seconds).
FAILED_WITHIN_SECONDS = 7 * 24 * 3600.0
#: How the text of a check that works begins when something should be changed all the same.
WARNING = "warning: "
#: Up to this many file names are listed.
MAX_NAMES = 3


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check, and a sentence about it."""

    is_ok: bool
    text: str
    #: What was checked; by default what is before the colon.
    name: str = ""
    #: What to do; by default what is after the first semicolon.
    remedy: str = ""

    @property
    def is_warning(self) -> bool:
        """Return whether it works, and something should be changed all the same."""
        return self.is_ok and self.text.startswith(WARNING)

    def to_json(self) -> dict[str, str | None]:
        """Return it as JSON: `status` is ok, warning or failed; `todo` says what to do."""
        message = self.text.removeprefix(WARNING)
        status = "warning" if self.is_warning else "ok" if self.is_ok else "failed"
        todo = self.remedy or message.partition("; ")[2] or message
        return {
            "name": self.name or message.partition(": ")[0],
            "status": status,
            "message": message,
            "todo": None if status == "ok" else todo,
        }


def check_all(services: Services, missing: MissingLedger | None = None) -> list[Check]:
    """Check everything that is configured; `missing`: there is no ledger yet, and `services` have an empty one."""
    checks = [
        _check_configuration(services),
        _check_missing_ledger(missing) if missing else _check_ledger(services),
        _check_files(services),
        *_check_store(services),
        *_check_rights(services),
        *_check_queue(services),
        *(_check_folder(services, folder) for folder in services.settings.watched),
        *_check_schedules(services),
        *(check_connection(services, name) for name in services.settings.connections),
        *_check_messages(services),
    ]
    if not services.settings.connections:
        text = "no connection is configured in roster.toml; `roster init` writes one"
        checks.append(Check(is_ok=False, text=text, name="connections"))
    return checks


def _check_configuration(services: Services) -> Check:
    """Say which configuration was read; one that cannot be read is an error before any check."""
    path = config_path(services.config)
    where = str(path.absolute()) if path else "no roster.toml here; only the environment is read"
    return Check(is_ok=True, text=f"configuration: {where}")


def _check_missing_ledger(missing: MissingLedger) -> Check:
    """Check that a ledger can be made where there is none yet."""
    file, about = missing.file, f"ledger: there is none at {missing.place} yet"
    if file is not None and not os.access(file.parent, os.W_OK):
        return Check(is_ok=False, text=f"{about}, and the folder cannot be written; make it, or change its rights")
    return Check(is_ok=True, text=f"{about}; the first `roster run` or `roster serve` makes it")


def check_sweep(services: Services) -> Check:
    """Check that the queue was swept lately: then Redis, the ledger, beat and a worker all work."""
    with services.ledger.read() as tx:
        last = key_value.get(tx, queue.LAST_SWEEP)
    if last is None:
        text = "queue: never swept; start `celery -A worker beat` and `celery -A worker worker`"
        return Check(is_ok=False, text=text)
    ago = now() - last["at"]
    is_ok = ago < services.settings.sweep_seconds + MAX_SWEEP_DELAY
    remedy = "" if is_ok else "; are `celery -A worker beat` and a worker running?"
    return Check(is_ok=is_ok, text=f"queue: last swept {ago:.0f} s ago{remedy}")


def check_connection(services: Services, name: str, seconds: float = PROBE_SECONDS) -> Check:
    """Make one harmless call to a connection; it may take `seconds`."""
    try:
        connection = services.connection(name)
        result = asyncio.run(_probe(services, connection, seconds))
    except RosterError as error:
        return Check(is_ok=False, text=f"{name}: {error}")
    except TimeoutError:
        text = f"{name}: {connection.base_url} has not answered for {counted(round(seconds), 'second')}"
        return Check(is_ok=False, text=text)
    return Check(is_ok=True, text=f"{name}: {connection.base_url} {result}")


async def _probe(services: Services, connection: Connection, seconds: float) -> str:
    session = bootstrap.open_lms_session(services, connection)
    try:
        async with asyncio.timeout(seconds):
            return await lms.connect(connection, bootstrap.open_lms_client(session, 0)).probe()
    finally:
        await session.close()


def _check_ledger(services: Services) -> Check:
    with services.ledger.write() as tx:
        count = len(jobs.list_jobs(tx))
        is_older = bootstrap.high_water_mark(services).is_above(tx)
    url = masked(services.settings.ledger)
    if is_older:
        return Check(is_ok=False, text=f"ledger: {url}: {OLDER}")
    return Check(is_ok=True, text=f"ledger: {url}, {counted(count, 'job')}")


def _check_files(services: Services) -> Check:
    folder = services.files
    try:
        # A folder that is not there yet is made when it is needed.
        existing = next(each for each in (folder, *folder.absolute().parents) if each.is_dir())
        probe = existing / f".roster-doctor-{uuid4().hex[:12]}"
        probe.write_bytes(b"x")
        probe.unlink()
        free = shutil.disk_usage(existing).free
    except OSError as error:
        return Check(is_ok=False, text=f"files: {folder} cannot be written: {error.strerror}")
    return Check(is_ok=free > MIN_FREE_BYTES, text=f"files: {folder}, {free // (1024 * 1024):,} MB free")


def _check_store(services: Services) -> list[Check]:
    """Write a file to a remote store, and remove it."""
    if not storage.is_address(services.store):
        return []
    probe = storage.join_address(services.store, f".doctor-{uuid4().hex[:12]}")
    try:
        with scratch_folder() as folder:
            (folder / "probe").touch()
            storage.put(folder / "probe", probe)
        storage.remove(probe)
    except UsageError as error:
        return [Check(is_ok=False, text=f"files: {error}")]
    return [Check(is_ok=True, text=f"files: {masked(services.store)} can be written")]


def _check_rights(services: Services) -> list[Check]:
    """Warn about files with personal data or secrets that other accounts of this machine can read."""
    ledger = sqlite_files(services.ledger.engine.url)
    places = secret_places(services.config, services.settings, _secret_keys(services))
    found = [(path, "the ledger") for path in ledger[:1] if readable_by_others(path)]
    found += [(path, "a secret") for path in dict.fromkeys(places.files) if readable_by_others(path)]
    if places.config is not None and places.literal_keys and readable_by_others(places.config):
        found.append((places.config, f"the configuration with {', '.join(places.literal_keys)} in it"))
    return [
        Check(
            is_ok=True,
            text=f"warning: {path}: other accounts of this machine can read {what}; run `chmod 600 {path}`",
            name="rights",
        )
        for path, what in found
    ]


def _secret_keys(services: Services) -> list[tuple[str, ...]]:
    """Return where secrets may be in the configuration: the keys, from the outermost table inwards."""
    keys: list[tuple[str, ...]] = [("mail", "password")]
    receivers = services.settings.messages
    keys += [("messages", name, key) for name in receivers for key in ("secret", "previous_secret")]
    for name in services.settings.connections:
        with suppress(SettingsError):  # the check of the connection reports it
            keys += [("connections", name, key) for key in lms.secret_keys(services.connection(name))]
    return keys


def _check_queue(services: Services) -> list[Check]:
    """Check the broker, and the last sweep, which only running workers make."""
    if not services.settings.broker:
        return []
    from worker import dispatch  # noqa: PLC0415 - a second that only a queue costs

    broker = Check(*dispatch.ping(services))
    warning = shadowing_warning(Path.cwd())
    # Workers that answer were started in another folder.
    text = f"{'warning' if broker.is_ok else 'queue'}: {warning}"
    shadowed = [Check(is_ok=broker.is_ok, text=text)] if warning else []
    return [broker, *shadowed, check_sweep(services)]


def _check_folder(services: Services, folder: Folder) -> Check:
    """Check that a drop folder can be used, and name the files in it that need a person."""
    about = f"folder {folder.name}: {folder.path}"
    try:
        connection = services.connection(folder.connection)
        scan = watch.scan_folder(Path(folder.path))
        _try_to_write(Path(folder.path))
        problems = _problems_of(services, folder)
    except RosterError as error:
        return Check(is_ok=False, text=f"{about}: {error}")
    except OSError as error:
        remedy = "is the share mounted, and may Roster write there?"
        return Check(is_ok=False, text=f"{about} cannot be used ({error.strerror}); {remedy}")
    remarks = [f"{about} to {connection.name}", f"{counted(len(scan.files), 'file')} waiting"]
    if scan.others:
        remarks.append(f"not rosters, left in place: {_listed(scan.others)}")
    if not control.has_background_process(services):
        remarks.append("no process watches it now; start `roster serve` or a worker")
    return Check(is_ok=not problems, text="; ".join([*remarks, *problems]))


def _try_to_write(folder: Path) -> None:
    probe = folder / ".roster-doctor"
    probe.write_bytes(b"")
    probe.unlink()


def _problems_of(services: Services, folder: Folder) -> list[str]:
    with services.ledger.read() as tx:
        claimed = dropped_files.files_in(tx, folder.name, DroppedFileState.CLAIMED)
        taken = dropped_files.files_in(tx, folder.name, DroppedFileState.TAKEN)
        source = sources.find(tx, sources.folder_source(folder.name))
    without = f"is in {watch.PROCESSING}/ and has no job"
    problems = [f"{drop.name} {without}: {drop.error}" for drop in claimed if drop.error]
    if source is not None and source.problem is SourceProblem.LATE:
        problems.append(source.reason)
    linked = [name for name in watch.OWN_FOLDERS if (Path(folder.path) / name).is_symlink()]
    problems += [f"{name}/ is a link, to which no file is moved; replace it with a folder" for name in linked]
    processing = Path(folder.path) / watch.PROCESSING
    if not processing.is_dir():
        return problems
    gone = [drop.name for drop in taken if not any(map(os.path.exists, (drop.path, drop.target_path or drop.path)))]
    if gone:
        problems.append(f"{_listed(gone)} was moved out of {watch.PROCESSING}/; put it back")
    known = {
        Path(place).name for drop in (*claimed, *taken) for place in (drop.path, drop.target_path or drop.path)
    }
    if unknown := _unknown_files(processing, known):
        problems.append(
            f"{_listed(unknown)} in {watch.PROCESSING}/ is unknown to this ledger; "
            "move it back into the folder to import it"
        )
    return problems


def _unknown_files(processing: Path, known: set[str]) -> list[str]:
    """Return the files that are neither known nor reports of known ones."""
    stems = tuple(f"{Path(name).stem}." for name in known)
    names = (found.name for found in watch.scan_folder(processing).files)
    return [name for name in names if name not in known and not name.startswith(stems)]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more


def _check_schedules(services: Services) -> list[Check]:
    """Check how the last run of each schedule ended."""
    with services.ledger.read() as tx:
        known = sources.all_sources(tx)
        last = [(each, jobs.find_job(tx, each.last_job_id or 0)) for each in schedules.list_schedules(tx)]
    return [_check_schedule(each, job, known.get(sources.schedule_source(each.name))) for each, job in last]


def _check_schedule(schedule: Schedule, job: Job | None, source: RosterSource | None) -> Check:
    about = f"schedule {schedule.name}"
    if source is not None and source.problem is not None:
        label = problem_label(source.problem, is_folder=False)
        is_warning = source.problem is SourceProblem.UNCHANGED
        prefix = "warning: " if is_warning else ""
        return Check(is_ok=is_warning, text=f"{prefix}{about}: {label}: {source.reason}")
    if schedule.last_error:
        return Check(is_ok=False, text=f"{about}: {schedule.last_error}")
    if job is not None and job.has_ended and job.state.needs_person:
        text = f"{about}: its last job, {job.id}: {STATE_INFO[job.state].label}: {job.reason}"
        return Check(is_ok=False, text=text)
    return Check(is_ok=True, text=f"{about}: ok")


def _check_messages(services: Services) -> list[Check]:
    """Check that the mail server accepts the credentials, and that no message failed lately; send nothing."""
    try:
        settings = read_message_settings(services.settings)
    except SettingsError as error:
        return [Check(is_ok=False, text=f"messages: {error}")]
    with services.ledger.read() as tx:
        failed = {name: outbox.last_failed(tx, name, now() - FAILED_WITHIN_SECONDS) for name in settings.receivers}
        waiting = outbox.count_waiting(tx) if settings.receivers else 0
    literal = literal_secrets(services.settings)
    checks = [Check(is_ok=True, text=f"warning: {each}", name="configuration") for each in literal]
    checks += [_check_mail_server(settings.mail)] if settings.mail is not None else []
    checks += [_check_receiver(name, last) for name, last in failed.items()]
    if waiting:
        checks.append(Check(is_ok=True, text=f"messages: {waiting} waiting to be sent"))
    return checks


def _check_receiver(name: str, failed: Message | None) -> Check:
    about = f"messages to {name}:"
    if failed is None:
        return Check(is_ok=True, text=f"{about} none failed lately")
    cause = f"the one about {failed.about} is {failed.state}: {failed.error}"
    return Check(is_ok=False, text=f"{about} {cause}; try `roster message test {name}`")


def _check_mail_server(server: Mail) -> Check:
    about = "mail: {}:{}".format(*server.address)
    try:
        mail.check_login(server)
    except DeliveryError as failure:
        return Check(is_ok=False, text=f"{about}: {failure}")
    return Check(is_ok=True, text=f"{about} accepts our messages")
