"""Work a roster off once in this process, so that a fork of it finds ready what libraries prepare at first use.

Statements that are compiled, attributes of tables, patterns, the models of settings: half of the processor time
of a short command. Only functions below the command line are called: a command would leave its own state behind.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
from pathlib import Path

import httpx

from worker import lms, settings
from worker.bootstrap import Services
from worker.intake.accept import Origin
from worker.intake.importing import import_roster
from worker.intake.options import Options
from worker.jobs import reporting, submission
from worker.jobs.check import check_roster
from worker.ledger import jobs
from worker.ledger.database import open_engine
from worker.ledger.leases import owner_name
from worker.ledger.transactions import Ledger
from worker.runtime.embedded import Runner
from worker.sandbox.server import make_state, running
from worker.web.app import make_app
from worker.web.local_access import LocalAccess, new_token
from worker.web.pages import rendering

CONFIGURATION = """
ledger = "{ledger}"
files = "{folder}/files"
[connections.north]
system = "tahdah"
base_url = "{url}"
token = "sandbox-token"
legal_entity_id = 42
behavior = 1
[connections.kmi]
system = "kmi"
base_url = "{url}/api/v2"
api_key = "sandbox-key"
api_secret = "sandbox-secret"
[connections.academy]
system = "moodle"
base_url = "{url}/moodle"
token = "sandbox-moodle-token"
role = 5
"""
#: Of the page and the API.
PATHS = ("/", "/jobs", "/jobs/{job}", "/schedules", "/connections", "/api/jobs", "/api/jobs/{job}")
ROSTER = "email,first_name,last_name,course_id\na@example.com,A,A,58\nb@example.com,B,B,58\nc,C,C,58\n"


def rehearse(database: str) -> None:
    """Work a roster off on each system of a pretend LMS, in a ledger on SQLite and, if there is one, in `database`.

    Raises RuntimeError when that goes wrong.
    """
    for ledger in filter(None, ("sqlite:///{folder}/roster.db", database)):
        with tempfile.TemporaryDirectory() as name, running(make_state()) as url:
            rehearse_in(Path(name), CONFIGURATION.format(ledger=ledger.format(folder=name), folder=name, url=url))
        if threading.active_count() > 1 or Path(name).exists():
            raise RuntimeError("the rehearsal left something behind")


def rehearse_in(folder: Path, configuration: str) -> None:
    """Do so in a folder with this configuration."""
    file, roster = folder / "roster.toml", folder / "roster.csv"
    file.write_text(configuration, encoding="utf-8")
    roster.write_text(ROSTER, encoding="utf-8")
    read = settings.load(file)
    ledger = Ledger(open_engine(read.ledger))
    services = Services(settings=read, ledger=ledger, owner=owner_name(), config=file)
    for connection in read.connections:
        job_id = run(services, connection, roster, folder)
    asyncio.run(serve(services, job_id))
    ledger.close()


def run(services: Services, name: str, roster: Path, folder: Path) -> int:
    """Run a job as the command does, and return it."""
    connection, ledger = services.connection(name), services.ledger
    check_roster(services, roster, connection, Options())
    job_id = submission.submit(
        services,
        roster,
        name=roster.name,
        connection=connection,
        options=Options(),
        report_dir=folder,
        origin=Origin(),
    ).job_id
    with ledger.write() as tx:
        jobs.claim_job(tx, job_id, services.owner)
    import_roster(ledger, job_id, lms.rules_of(connection), owner=services.owner)
    with ledger.write() as tx:
        jobs.release_job(tx, job_id, services.owner)
    job = asyncio.run(Runner(services=services, job_id=job_id, connection=connection).run())
    summary = reporting.write_job_reports(ledger, job)
    if summary.by_status["registered"] != 2:
        raise RuntimeError(f"the rehearsal on {name} registered {summary.by_status}")
    return job_id


async def serve(services: Services, job_id: int) -> None:
    """Render pages and answers of the API as `roster serve` does."""
    token = new_token("")
    headers = {"Authorization": f"Bearer {token}"}
    transport = httpx.ASGITransport(app=make_app(services, LocalAccess(token)), client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
        for path in PATHS:
            (await client.get(path.format(job=job_id))).raise_for_status()
    for name in rendering._TEMPLATES.list_templates():
        rendering._TEMPLATES.get_template(name)
