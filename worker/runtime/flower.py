"""Make Flower safe before it starts: always a password, this machine only; and add our metrics to its own."""

from __future__ import annotations

import os
import secrets
import sys

from prometheus_client import REGISTRY

from worker import bootstrap
from worker.metrics import JobMetrics

#: What Flower reads when it starts, unless the environment sets them.
_DEFAULTS = {
    "FLOWER_ADDRESS": "127.0.0.1",
    "FLOWER_READ_ONLY": "true",
    "FLOWER_MAX_TASKS": "10000",
    #: What is done (`batch 12 of job 7`) and how far the job is are in `args` and `result`.
    "FLOWER_TASKS_COLUMNS": "name,args,result,state,worker,received,runtime",
    #: A worker that died is listed as offline for a day.
    "FLOWER_PURGE_OFFLINE_WORKERS": "86400",
}
_SIGN_IN = ("FLOWER_BASIC_AUTH", "FLOWER_AUTH", "FLOWER_AUTH_PROVIDER")


def prepare() -> None:
    """Set Flower's defaults, and add the jobs to its /metrics."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    given = any(option.startswith(("--basic-auth", "--basic_auth", "--auth")) for option in sys.argv)
    if not given and not any(os.environ.get(name) for name in _SIGN_IN):
        password = secrets.token_urlsafe(12)
        os.environ["FLOWER_BASIC_AUTH"] = f"roster:{password}"
        sys.stderr.write(f"Flower: no password was set, so this one is valid until it ends: roster / {password}\n")
    REGISTRY.register(JobMetrics(bootstrap.open_services(None)))
