"""`roster.register`: work one batch off."""

from __future__ import annotations

from celery import Task, shared_task

from worker import dispatch, duties, workplace


@shared_task(name="roster.register", bind=True)
def register(self: Task, batch_id: int) -> None:
    """Work a batch off as far as it goes now and ring for what comes next."""

    def progress(done: int, total: int) -> None:
        self.send_event("task-registering", retry=False, result=f"{done} of {total} rows of the job settled")

    here = workplace.here()
    duties.forget(here, dispatch.ring(self.app, here.run(duties.register(here, batch_id, progress))))
