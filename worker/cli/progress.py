"""Show the progress of a running job: a bar with counts, rate, pauses and the time left.

Without a terminal, one line per change of state.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from worker.jobs.estimate import AT_THE_SPEED_SO_FAR, NOT_KNOWN_YET, estimate
from worker.ledger import jobs, rows
from worker.ledger.database import now
from worker.model import JobState, RowStatus
from worker.pace import forecast
from worker.quantities import counted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rich.progress import TaskID

    from worker.jobs.estimate import Estimate
    from worker.ledger.jobs import Job
    from worker.ledger.rows import RowCounts, StageCounts
    from worker.runtime.embedded import Runner

REFRESH_SECONDS = 0.5


@dataclass(slots=True)
class JobProgress:
    """The progress bar of a job that runs in this process."""

    runner: Runner
    console: Console
    started: float = field(default_factory=now)

    async def update_until_cancelled(self, progress: Progress, task: TaskID) -> None:
        """Update the bar until cancelled."""
        while True:
            await self.update(progress, task)
            await asyncio.sleep(REFRESH_SECONDS)

    async def update(self, progress: Progress, task: TaskID) -> None:
        """Update the bar once."""
        ledger, job_id = self.runner.services.ledger, self.runner.job_id
        counts = await ledger.run(lambda tx: rows.count_rows(tx, job_id))
        stages = await ledger.run(lambda tx: rows.count_stages(tx, job_id))
        job = await ledger.run(lambda tx: jobs.find_job(tx, job_id))
        made = sum((await ledger.run(lambda tx: jobs.calls_of(tx, job_id))).values())
        made = max(0, made - (job.calls_before_run if job else 0))
        left = await self._calls_left()
        total = None if left is None else made + left.most
        progress.update(task, total=total, completed=made, state=await self._state(job, counts, stages, made, left))

    async def _state(
        self, job: Job | None, counts: RowCounts, stages: StageCounts, made: int, left: Estimate | None
    ) -> str:
        done = sum(count for status, count in counts.by_status.items() if status.is_done)
        parts = [f"calls · [green]{done:,} of {counted(counts.total, 'row')} done[/]"]
        unregistered = stages.unsent_created + stages.unsent_found
        parts += [f"{unregistered:,} created, not registered"] if unregistered else []
        for status, word in ((RowStatus.INVALID, "invalid"), (RowStatus.REJECTED, "rejected")):
            count = counts.by_status[status]
            parts += [f"[red]{count:,} {word}[/]"] if count else []
        unconfirmed = counts.by_status[RowStatus.IN_DOUBT]
        parts += [f"[yellow]{unconfirmed} unconfirmed[/]"] if unconfirmed else []
        elapsed = max(now() - self.started, 0.001)
        parts += [f"{made / elapsed * 60:,.0f} calls/min"] if made else []
        if job and job.state is JobState.WAITING and job.not_before:
            parts.append(f"[yellow]waiting until {_clock(job.not_before)}: {job.reason}[/]")
        elif left and (text := self._time_left(left)):
            parts.append(text)
        return " · ".join(parts)

    async def _calls_left(self) -> Estimate | None:
        """Return how many calls the job has left; None before it is opened."""
        runner = self.runner
        if not runner.has_session:
            return None
        context = runner.session.context
        rules = replace(context.connector.rules, rows_per_call=context.rows_per_call)
        return await runner.services.ledger.run(lambda tx: estimate(tx, runner.job_id, rules))

    def _time_left(self, left: Estimate) -> str:
        """Return how long the calls left take, with the pause that the LMS asked for; empty where none is known."""
        session = self.runner.session
        limiter = session.context.client.session.limiter
        pace = limiter.snapshot()
        rate = pace.rate or session.counters.calls_per_second()
        if not left.most or not rate:
            return ""
        stored = limiter.to_memory()
        if limiter.configured_rate is None and not stored["is_settled"]:
            return f"time left {NOT_KNOWN_YET}"
        quotas = stored["quotas"] if limiter.configured_rate is None else ()
        ahead = forecast.seconds_left(left.most, rate, quotas, not_before=pace.not_before, now=stored["at"])
        return time_left_text(ahead, is_pace_known=bool(pace.rate)) if ahead else ""


def time_left_text(seconds: float, *, is_pace_known: bool) -> str:
    """Return the time left as the bar shows it: with the end, where a known pace says it."""
    left = f"{timedelta(seconds=round(seconds))} left"
    return f"done at about {_clock(now() + seconds)} ({left})" if is_pace_known else f"{left} {AT_THE_SPEED_SO_FAR}"


def _clock(seconds: float) -> str:
    at = datetime.fromtimestamp(seconds).astimezone()
    today = datetime.now().astimezone().date()
    return at.strftime("%H:%M:%S" if at.date() == today else "%a %d %b %H:%M")


@asynccontextmanager
async def show_progress(runner: Runner, *, quiet: bool) -> AsyncIterator[None]:
    """Show a job's progress on standard error while the block runs."""
    console = Console(stderr=True)
    if quiet:
        yield
        return
    if not console.is_terminal:
        runner.on_change = lambda line: console.print(line, highlight=False, markup=False, soft_wrap=True)
        yield
        return
    columns = (
        SpinnerColumn(),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, refresh_per_second=4) as progress:
        runner.on_change = lambda line: progress.console.print(line, highlight=False, markup=False)
        bar = JobProgress(runner, console)
        task = progress.add_task("", total=None, state="reading")
        updating = asyncio.create_task(bar.update_until_cancelled(progress, task))
        try:
            yield
        finally:
            updating.cancel()
            await asyncio.gather(updating, return_exceptions=True)
            await bar.update(progress, task)
