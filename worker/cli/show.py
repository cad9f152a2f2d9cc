"""The bodies of `jobs`, `status` and `report`: commands on jobs that run nothing."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from worker.cli import output
from worker.cli.context import configure_log, record
from worker.errors import RosterError, UsageError
from worker.ledger import jobs
from worker.model import JobState
from worker.reports import gather
from worker.reports.labels import STATE_INFO
from worker.reports.lines import utc_text

if TYPE_CHECKING:
    from pathlib import Path

    from worker.bootstrap import Services
    from worker.ledger.jobs import Job
    from worker.reports.lines import Summary

POLL_SECONDS = 1.0


#: Of `--state`: jobs that have not ended, and those with rows that still need somebody.
OPEN = "open"
JOBS_LISTED = 1_000
MAX_JOBS = 2**31 - 1


def list_jobs(services: Services, *, state: str | None, limit: int | None, as_json: bool) -> None:
    """Print the newest jobs in a state, newest first."""
    with services.ledger.read() as tx:
        # Whether a job is open is known from its rows: the limit counts those that are listed.
        listed = jobs.list_jobs(tx, _most(limit, state))
        summaries = gather.summarise_all(tx, [job for job in listed if state in {None, OPEN, job.state}])
    if state == OPEN:
        summaries = [each for each in summaries if each.open_rows or not each.state.has_ended]
    summaries = summaries[:limit]
    if as_json:
        click.echo(json.dumps([summary.to_json() for summary in summaries], ensure_ascii=False))
        return
    if not summaries:
        click.echo(
            "No job is in this state" if state else "There are no jobs yet; start one with `roster run FILE`"
        )
    for summary in summaries:
        click.echo(_line(summary))


def check_state(text: str | None) -> str | None:
    """Return a state that a person typed; raise UsageError that lists them when there is none of that name."""
    states = [OPEN, *JobState]
    if text is None or text.casefold() in states:
        return text and text.casefold()
    raise UsageError(f"--state {text!r} is no state; the states are {', '.join(states)}")


def _most(limit: int | None, state: str | None) -> int:
    return (limit or JOBS_LISTED) if state is None else MAX_JOBS


def _line(summary: Summary) -> str:
    begun = summary.started_at.astimezone().strftime("%Y-%m-%d %H:%M") if summary.started_at else "not started"
    state = STATE_INFO[summary.state].label
    counts = f"{summary.done} of {summary.total} done" if summary.total else ""
    if summary.not_done:
        counts += f", {summary.open_rows} not" if summary.settled else f", {summary.not_done} not"
    return f"{summary.job:>5}  {begun:<16}  {state:<22} {summary.connection:<12} {counts:<28} {summary.roster}"


def show_status(services: Services, job_id: int, *, watch: bool, as_json: bool) -> None:
    """Print the state of a job; with `watch`, also each change until the job needs a person or has ended."""
    from worker.jobs import lifecycle

    last = ""
    while True:
        with services.ledger.read() as tx:
            job = lifecycle.get_job(tx, job_id)
            summary = gather.summarise(tx, job)
        text = f"{summary.state} {summary.by_status}"
        moving = watch and job.state.is_moving and job.state is not JobState.SCHEDULED
        if watch and not as_json and text != last and moving:
            click.echo(f"{datetime.now().astimezone():%H:%M:%S} {_line(summary)}")
            last = text
        if not moving:
            output.print_summary(summary, as_json=as_json)
            if not as_json and not job.has_ended:
                _print_pace(services, job)
            return
        time.sleep(POLL_SECONDS)


def _print_pace(services: Services, job: Job) -> None:
    """Print how the pace of a job's connection is known, and until when it waits."""
    with suppress(RosterError), services.ledger.read() as tx:
        pace = services.describe_pace(tx, services.connection(job.connection))
        click.echo(f"Pace: {pace.text}")
        if pace.waits_until:
            click.echo(f"No call until {utc_text(datetime.fromtimestamp(pace.waits_until, UTC))}: {pace.waits_for}")


def write_report(services: Services, job_id: int, folder: Path | None, *, as_json: bool) -> None:
    """Write the reports of a job again, with its current outcomes."""
    from worker.jobs import lifecycle, reporting

    with services.ledger.write() as tx:
        job = lifecycle.get_unpurged_job(tx, job_id)
        if folder is not None:
            jobs.change_job(tx, job_id, report_dir=str(folder.absolute()))
            job = lifecycle.get_job(tx, job_id)
    record(services, "report", job_id=job_id)
    configure_log(services)
    output.print_summary(reporting.write_job_reports(services.ledger, job), as_json=as_json)
