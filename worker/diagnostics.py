"""`doctor`: is everything that a job needs in order? One harmless call to each connection."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import click

from worker import bootstrap, doctor_doors, lms
from worker.cli import output
from worker.errors import RosterError, SettingsError, UsageError
from worker.intake import storage
from worker.ledger import jobs, key_value, outbox, queue
from worker.ledger.database import now
from worker.notifications import mail
from worker.notifications.delivery import Undelivered
from worker.settings import literal_secrets, read_message_settings
from worker.shadowing import shadowing_warning

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.settings import Connection, Mail

#: Below this a job's ledger and reports may not find room (bytes).
LITTLE_ROOM = 200 * 1024 * 1024
#: A queue that was not swept for so much longer than it should be is not at work (seconds).
LONGEST_WITHOUT_SWEEP = 60.0
#: What failed longer ago is no longer told (seconds).
LATELY_SECONDS = 7 * 24 * 3600.0


def doctor(services: Services) -> int:
    """Print what is in order and what is not; exit 2 when something must be mended."""
    checks = [
        _ledger(services),
        _files(services),
        *_store(services),
        *_queue(services),
        *doctor_doors.folders(services),
        *doctor_doors.schedules(services),
        *(check_connection(services, name) for name in services.settings.connections),
        *_messages(services),
    ]
    if not services.settings.connections:
        checks.append((False, "no connection is configured in roster.toml"))
    for good, sentence in checks:
        click.secho(f"{'ok  ' if good else 'mend'}  {sentence}", fg="green" if good else "red")
    return output.DONE if all(good for good, _ in checks) else output.NOTHING_SENT


def _ledger(services: Services) -> tuple[bool, str]:
    with services.ledger.write() as tx:
        count = len(jobs.list_jobs(tx))
    return True, f"ledger: {services.ledger.engine.url.render_as_string(hide_password=True)}, {count} jobs"


def swept(services: Services) -> int:
    """Exit 0 when the queue was swept lately: Redis, the ledger, beat and a worker are then all at work."""
    good, sentence = _sweep(services)
    click.echo(sentence)
    return output.DONE if good else output.NOTHING_SENT


def _queue(services: Services) -> list[tuple[bool, str]]:
    """Look at the broker, and at what only living workers leave behind."""
    if not services.settings.broker:
        return []
    from worker import dispatch  # noqa: PLC0415 - a second that only a queue costs

    reached, broker = dispatch.ping(services)
    warning = shadowing_warning(Path.cwd())
    # Workers that answer were started in another folder.
    shadowed = [(reached, f"{'warning' if reached else 'queue'}: {warning}")] if warning else []
    return [(reached, broker), *shadowed, _sweep(services)]


def _sweep(services: Services) -> tuple[bool, str]:
    with services.ledger.read() as tx:
        last = key_value.get(tx, queue.LAST_SWEEP)
    if last is None:
        return False, "queue: never swept; start `celery -A worker beat` and `celery -A worker worker`"
    ago = now() - last["at"]
    good = ago < services.settings.sweep_seconds + LONGEST_WITHOUT_SWEEP
    remedy = "" if good else "; are `celery -A worker beat` and a worker running?"
    return good, f"queue: last swept {ago:.0f} s ago{remedy}"


def _store(services: Services) -> list[tuple[bool, str]]:
    """Write to where rosters and reports stay, and remove that again, when it is elsewhere."""
    if not storage.is_address(services.store):
        return []
    probe = storage.join_address(services.store, f".doctor-{uuid4().hex[:12]}")
    try:
        with tempfile.NamedTemporaryFile() as file:
            storage.put(Path(file.name), probe)
        storage.remove(probe)
    except UsageError as error:
        return [(False, f"files: {error}")]
    return [(True, f"files: {storage.redacted(services.store)} can be written")]


def _files(services: Services) -> tuple[bool, str]:
    folder = services.files
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = folder / ".doctor"
        probe.write_bytes(b"x")
        probe.unlink()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return False, f"files: {folder} cannot be written: {error.strerror}"
    return free > LITTLE_ROOM, f"files: {folder}, {free // (1024 * 1024):,} MB free"


def check_connection(services: Services, name: str) -> tuple[bool, str]:
    """Make one harmless call to a connection; tell whether it went well, and what came of it."""
    try:
        connection = services.connection(name)
        return True, f"{name}: {connection.base_url} {asyncio.run(_probe(services, connection))}"
    except RosterError as error:
        return False, f"{name}: {error}"


def _messages(services: Services) -> list[tuple[bool, str]]:
    """Look whether each receiver gets its messages, and whether the mail server lets us in; send nothing."""
    try:
        post = read_message_settings(services.settings)
    except SettingsError as error:
        return [(False, f"messages: {error}")]
    with services.ledger.read() as tx:
        failed = {name: outbox.last_failed(tx, name, now() - LATELY_SECONDS) for name in post.receivers}
        waiting = outbox.count_waiting(tx) if post.receivers else 0
    checks = [(True, f"warning: {each}") for each in literal_secrets(services.settings)]
    checks += [_mail_server(post.mail)] if post.mail is not None else []
    for name, last in failed.items():
        said = f"messages to {name}: "
        said += f"the one on job {last.job_id} is {last.state}: {last.error}" if last else "none that failed lately"
        checks.append((last is None, said if last is None else f"{said}; `roster message test {name}` tries it"))
    if waiting:
        checks.append((True, f"messages: {waiting} wait to be sent"))
    return checks


def _mail_server(server: Mail) -> tuple[bool, str]:
    said = "mail: {}:{}".format(*server.address)
    try:
        mail.look(server)
    except Undelivered as failure:
        return False, f"{said}: {failure}"
    return True, f"{said} takes our mail"


async def _probe(services: Services, connection: Connection) -> str:
    wire = bootstrap.open_lms_session(services, connection)
    try:
        return await lms.connect(connection, bootstrap.open_lms_client(wire, 0)).probe()
    finally:
        await wire.close()
