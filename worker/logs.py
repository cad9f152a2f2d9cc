"""Log lines of workers: one event each, with task, job, batch and connection as fields; as text or as JSON.

Never a name, an address or a cell: events are our own words, and what an LMS answered stays in the ledger.
"""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

LogLevel = Literal["debug", "info", "warning", "error"]

#: They log the URLs of calls, which may contain an e-mail address or an external id.
_NOISY = ("httpx", "httpcore", "aiohttp", "alembic")

#: Only these write lines of `debug`, with ids, counts and times alone. What other libraries write at that level has
#: headers with secrets, parameters of SQL and cells, so that they stay at `info`.
_WITH_DETAIL = ("roster", "celery")

#: Fields of the lines of the audit log; those of other libraries may hold anything.
AUDIT_FIELDS = ("actor", "address", "action", "job")


def configure(style: Literal["text", "json"], level: LogLevel) -> None:
    """Let every logger of this process, Celery's included, write one style to standard error, from a level on."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    last: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    plain: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        last,
    ]
    handler = logging.StreamHandler(sys.stderr)
    foreign: list[structlog.typing.Processor] = [*shared, structlog.stdlib.ExtraAdder(allow=AUDIT_FIELDS)]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=foreign, processors=plain))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    chosen = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(max(chosen, logging.INFO))
    for name in _WITH_DETAIL:
        logging.getLogger(name).setLevel(chosen)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(chosen, logging.WARNING))


def configure_once(style: Literal["text", "json"], level: LogLevel) -> None:
    """Configure the log of this process, unless that was done."""
    if not structlog.is_configured():
        configure(style, level)


def is_detailed() -> bool:
    """Return whether lines of `debug` are written, so that what they need is not worked out in vain."""
    return logging.getLogger("roster").isEnabledFor(logging.DEBUG)
