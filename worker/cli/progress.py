"""What a person sees while a job is at work: a bar with counts, rate, what it waits for and when it will be done.

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

from worker.jobs.estimate import estimate
from worker.ledger import jobs, rows
from worker.ledger.database import now
from worker.model import DONE, JobState, RowStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rich.progress import TaskID

    from worker.ledger.rows import Tally
    from worker.runtime.embedded import Runner

REFRESH_SECONDS = 0.5


@dataclass(slots=True)
class Watch:
    """Follows one job at work in this process."""

    runner: Runner
    console: Console
    began: float = field(default_factory=now)
    _first: int | None = None

    async def follow(self, progress: Progress, task: TaskID) -> None:
        """Keep the bar up to date until cancelled."""
        while True:
            await self.show(progress, task)
            await asyncio.sleep(REFRESH_SECONDS)

    async def show(self, progress: Progress, task: TaskID) -> None:
        """Bring the bar up to date once."""
        ledger, job_id = self.runner.services.ledger, self.runner.job_id
        tally = await ledger.run(lambda tx: rows.tally(tx, job_id))
        settled = tally.total - tally.by_status[RowStatus.NOT_ATTEMPTED]
        if self._first is None:
            self._first = settled
        progress.update(task, total=tally.total, completed=settled, state=await self._state(tally, settled))

    async def _state(self, tally: Tally, settled: int) -> str:
        job = await self.runner.services.ledger.run(lambda tx: jobs.find_job(tx, self.runner.job_id))
        parts = [f"[green]{sum(tally.by_status[status] for status in DONE)} done[/]"]
        wrong = tally.by_status[RowStatus.REJECTED] + tally.by_status[RowStatus.INVALID]
        parts += [f"[red]{wrong} refused[/]"] if wrong else []
        doubtful = tally.by_status[RowStatus.IN_DOUBT]
        parts += [f"[yellow]{doubtful} in doubt[/]"] if doubtful else []
        created = tally.candidates_created
        parts += [f"{created} created"] if created else []
        seconds = max(now() - self.began, 0.001)
        parts.append(f"{(settled - (self._first or 0)) / seconds * 3600:,.0f} rows/h")
        if job and job.state is JobState.WAITING and job.not_before:
            parts.append(f"[yellow]waiting until {_clock(job.not_before)}: {job.reason}[/]")
        elif left := await self._seconds_left():
            parts.append(f"done about {_clock(now() + left)} ({timedelta(seconds=round(left))} left)")
        return " · ".join(parts)

    async def _seconds_left(self) -> float | None:
        """Return how long the calls ahead take at the pace of now, a pause that was asked for included."""
        runner = self.runner
        if not runner.at_work:
            return None
        pace = runner.door.wire.gate.snapshot()
        rules = replace(runner.desk.connector.rules, rows_per_call=runner.desk.rows_per_call)
        ahead = await runner.services.ledger.run(lambda tx: estimate(tx, runner.job_id, rules))
        rate = pace.rate or runner.calls_per_second()
        if not ahead.most or not rate:
            return None
        return ahead.seconds(rate) + max(0.0, (pace.not_before or 0.0) - now())


def _clock(seconds: float) -> str:
    at = datetime.fromtimestamp(seconds).astimezone()
    today = datetime.now().astimezone().date()
    return at.strftime("%H:%M:%S" if at.date() == today else "%a %d %b %H:%M")


@asynccontextmanager
async def shown(runner: Runner, *, quiet: bool) -> AsyncIterator[None]:
    """Show a job's progress on standard error while the block runs."""
    console = Console(stderr=True)
    if quiet:
        yield
        return
    if not console.is_terminal:
        runner.tell = lambda line: console.print(line, highlight=False, markup=False, soft_wrap=True)
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
        runner.tell = lambda line: progress.console.print(line, highlight=False, markup=False)
        watch = Watch(runner, console)
        task = progress.add_task("", total=None, state="reading")
        following = asyncio.create_task(watch.follow(progress, task))
        try:
            yield
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await watch.show(progress, task)
