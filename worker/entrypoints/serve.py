"""`serve`: the web door."""

from __future__ import annotations

from typing import TYPE_CHECKING

import uvicorn

from worker import logs
from worker.entrypoints import outcome
from worker.entrypoints.web.app import make_app
from worker.settings import read_post
from worker.standalone import Standalone

if TYPE_CHECKING:
    from worker.bootstrap import Services


def serve(services: Services, host: str, port: int) -> int:
    """Serve until told to end; without a broker, work the jobs too.

    Raises SettingsError, before anything begins, when [messages] must be mended: a sweep would tell its log only.
    """
    read_post(services.settings)
    logs.configure(services.settings.log)
    standalone = None if services.settings.broker else Standalone(services)
    if standalone is not None:
        standalone.start()
    try:
        uvicorn.run(
            make_app(services), host=host, port=port, access_log=False, server_header=False, log_level="warning"
        )
    finally:
        if standalone is not None:
            standalone.end()
    return outcome.DONE
