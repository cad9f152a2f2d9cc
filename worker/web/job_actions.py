"""Submit an uploaded roster as a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker import control
from worker.intake.accept import Origin

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.jobs.submission import Submission
    from worker.web.auth import Who
    from worker.web.forms import Wanted
    from worker.web.uploads import Upload


def submit_upload(services: Services, who: Who, upload: Upload, wanted: Wanted, *, origin: str) -> Submission:
    """Submit an uploaded roster; its file may be discarded afterwards.

    Raises UsageError when it cannot be stored.
    """
    submitted = control.submit(
        services,
        upload.path,
        name=upload.name,
        connection=wanted.connection,
        options=wanted.options,
        report_dir=None,
        origin=Origin(channel=origin, user=None if who.name == "-" else who.name, start_at=wanted.start),
        actor=who.name,
    )
    return submitted.submission
