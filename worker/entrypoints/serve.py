"""`serve`: the web door."""

from __future__ import annotations

from typing import TYPE_CHECKING

import uvicorn

from worker.entrypoints import outcome
from worker.entrypoints.web.app import make_app

if TYPE_CHECKING:
    from worker.bootstrap import Services


def serve(services: Services, host: str, port: int) -> int:
    """Serve until told to end."""
    uvicorn.run(
        make_app(services), host=host, port=port, access_log=False, server_header=False, log_level="warning"
    )
    return outcome.DONE
