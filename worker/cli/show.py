"""`jobs`, `status` and `report`: look at jobs, from this process or another one."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import TYPE_CHECKING

import click

from worker.cli import output
from worker.ledger import jobs
from worker.model import DONE, JobState, RowStatus
from worker.reports import gather

if TYPE_CHECKING:
    from pathlib import Path

    from worker.bootstrap import Services
    from worker.reports.lines import Summary

POLL_SECONDS = 1.0
#: A job in one of these moves by itself.
_MOVING = {
    JobState.UPLOADED,
    JobState.VALIDATING,
    JobState.QUEUED,
    JobState.RUNNING,
    JobState.WAITING,
    JobState.CANCELLING,
}


def list_jobs(services: Services, *, as_json: bool) -> int:
    """Print the newest jobs, newest first."""
    with services.ledger.read() as tx:
        summaries = [gather.summarise(tx, job) for job in jobs.list_jobs(tx)]
    if as_json:
        click.echo(json.dumps([summary.to_json() for summary in summaries], ensure_ascii=False))
        return output.DONE
    if not summaries:
        click.echo("There are no jobs yet; `roster run FILE` makes the first")
    for summary in summaries:
        click.echo(_line(summary))
    return output.DONE


def _line(summary: Summary) -> str:
    begun = summary.started_at.astimezone().strftime("%Y-%m-%d %H:%M") if summary.started_at else "not begun"
    done = sum(summary.by_status[status] for status in DONE)
    left = summary.total - done - summary.by_status[RowStatus.SKIPPED]
    counts = f"{done} of {summary.total} done" + (f", {left} not" if left else "")
    return (
        f"{summary.job:>5}  {begun:<16}  {summary.state:<22} {summary.connection:<12} {counts:<28} {summary.roster}"
    )


def status(services: Services, job_id: int, *, watch: bool, as_json: bool) -> int:
    """Print where a job stands; with `watch`, again each time that changes, until it stops moving."""
    from worker.jobs import lifecycle

    last = ""
    while True:
        with services.ledger.read() as tx:
            job = lifecycle.get_job(tx, job_id)
            summary = gather.summarise(tx, job)
        text = f"{summary.state} {summary.by_status}"
        moving = watch and job.state in _MOVING
        if watch and not as_json and text != last and moving:
            click.echo(f"{datetime.now().astimezone():%H:%M:%S} {_line(summary)}")
            last = text
        if not moving:
            output.tell(summary, as_json=as_json)
            return output.DONE
        time.sleep(POLL_SECONDS)


def report(services: Services, job_id: int, folder: Path | None, *, as_json: bool) -> int:
    """Write the reports of a job again, as it stands now."""
    from worker.jobs import lifecycle

    with services.ledger.write() as tx:
        job = lifecycle.get_whole_job(tx, job_id)
        if folder is not None:
            jobs.change_job(tx, job_id, report_dir=str(folder.absolute()))
            job = lifecycle.get_job(tx, job_id)
    output.tell(output.write_reports(services.ledger, job), as_json=as_json)
    return output.DONE
