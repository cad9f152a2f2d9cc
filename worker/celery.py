"""The Celery app: `celery -A worker worker|beat|flower` finds it here. Settings and their reasons; no work.

Redis loses and doubles a message now and then, whatever is set: claims in the ledger and the sweep correct that.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery import Celery, Task, signals
from celery.exceptions import CeleryError, Ignore, Reject, Retry
from structlog.contextvars import bound_contextvars

from worker import logs, settings
from worker.bootstrap import read_settings
from worker.errors import RosterError, SettingsError
from worker.ledger.queue import Task as Name
from worker.runtime import flower
from worker.runtime.preload import preload
from worker.runtime.process import shutdown, shutting_down
from worker.safe_errors import location_of
from worker.shadowing import shadowing_warning

if TYPE_CHECKING:
    from worker.settings import Settings

#: The sweep's message expires after this; when every slot is taken, a busy worker sweeps by then (seconds).
EXPIRES_SECONDS = 60.0


def beat_table(every_seconds: float) -> dict[str, dict[str, Any]]:
    """Return what beat publishes, and how often; a message that no worker took in time expires."""
    return {
        "sweep": {
            "task": Name.SWEEP.value,
            "schedule": every_seconds,
            "options": {"expires": EXPIRES_SECONDS, "priority": 0},
        }
    }


#: Messages in Redis begin with this, so that one Redis may serve others too.
PREFIX = "roster:queue:"
#: Importing a million rows and the list of their people takes long; a time slice ends after five minutes.
LONGEST_SPLIT_SECONDS, LONGEST_TASK_SECONDS = 6 * 3600, 1800


class TaskFailed(Exception):
    """A task met an unexpected error; its message is the kind and place of that, never its text."""


class RosterTask(Task):  # type: ignore[misc]
    """A task that shows nothing personal when it fails, and adds its name and id to every log line."""

    def __call__(self, *ids: int) -> Any:
        """Run the task; errors keep their kind and lose their text, which may have an LMS's response."""
        with bound_contextvars(task=self.name, **dict(zip(("id",), ids, strict=False))):
            try:
                return self.run(*ids)
            except (CeleryError, Ignore, Reject, Retry, SystemExit):
                raise
            except RosterError as error:
                raise TaskFailed(type(error).__name__) from None
            except Exception as error:  # noqa: BLE001 - whatever it is, its text goes no further
                raise TaskFailed(location_of(error)) from None


def make_app(config: Settings) -> Celery:
    """Return the app for a configuration. Nothing is connected yet."""
    app = Celery("roster", task_cls=RosterTask, include=[f"tasks.{name}" for name in _TASKS])
    app.conf.update(
        broker_url=config.broker or "redis://127.0.0.1:6379/0",
        **_delivery(),
        **_connection(),
        **_results(),
        **_life(config),
    )
    return app


_TASKS = tuple(name.value.removeprefix("roster.") for name in Name)


def _delivery() -> dict[str, Any]:
    return {
        # A message is done when its task is: a killed worker's message comes again. Claims make that harmless.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_acks_on_failure": True,
        "task_acks_on_timeout": True,
        # A worker takes what it can work on now, so that others find the rest.
        "worker_prefetch_multiplier": 1,
        # A last resort: a time slice ends by itself.
        "task_time_limit": LONGEST_TASK_SECONDS,
        "task_annotations": {Name.SPLIT.value: {"time_limit": LONGEST_SPLIT_SECONDS}},
        # A lost connection to Redis does not end what is being sent; 6.0 would.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "task_default_queue": "roster",
        "task_create_missing_queues": False,
    }


def _connection() -> dict[str, Any]:
    return {
        "broker_transport": "worker.runtime.redis_transport:Transport",
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            # Longer than any task; what a dead worker had is published again by the sweep long before.
            "visibility_timeout": LONGEST_SPLIT_SECONDS + 600,
            "unacked_restore_interval": 15,
            "unacked_restore_throttle": 1,
            # Without these a half-open connection hangs a worker for good.
            "socket_timeout": 15,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "retry_on_timeout": True,
            "health_check_interval": 10,
            "global_keyprefix": PREFIX,
            # Small rosters before large ones (dispatch.py).
            "queue_order_strategy": "priority",
            "priority_steps": [0, 3, 6],
        },
        "broker_pool_acquire_timeout": 10,
        # A command or request does not hang while Redis is away: the sweep publishes later.
        "task_publish_retry_policy": {
            "max_retries": 3,
            "interval_start": 0.1,
            "interval_step": 0.3,
            "interval_max": 1,
        },
    }


def _results() -> dict[str, Any]:
    return {
        # The ledger is the result; a result store would be a second truth, and a place for personal data.
        "task_ignore_result": True,
        "result_backend": None,
        "task_store_errors_even_if_ignored": False,
        "task_serializer": "json",
        "accept_content": ["json"],
        # For Flower; events of senders would give it a time series for each process that ever sent.
        "worker_send_task_events": True,
        "task_send_sent_event": False,
    }


def _life(config: Settings) -> dict[str, Any]:
    return {
        # When it is stopped, a worker finishes the calls in progress, releases its claims and exits.
        "worker_soft_shutdown_timeout": 20,
        "worker_enable_soft_shutdown_on_idle": False,
        "worker_max_tasks_per_child": 1000,
        "worker_max_memory_per_child": 500_000,
        "worker_hijack_root_logger": False,
        "beat_schedule": beat_table(config.sweep_seconds),
        # One entry, known from the settings: no file to keep.
        "beat_scheduler": "worker.runtime.beat:Beat",
        "beat_max_loop_interval": 5,
        "timezone": "UTC",
    }


@signals.worker_shutting_down.connect
def _stop_children(**_: Any) -> None:
    shutting_down.set()


@signals.worker_process_shutdown.connect
def _close(**_: Any) -> None:
    shutdown()


def _refuse_other_tasks(**_: Any) -> None:
    """End with a sentence when the current folder has a package `tasks` of its own: ours would not be found."""
    if warning := shadowing_warning(Path.cwd()):
        sys.exit(warning)


def __getattr__(name: str) -> Any:
    """Return `app` for `celery -A worker`, made from the configuration when it is first asked for."""
    if name != "app":
        raise AttributeError(name)
    globals()["app"] = app = _app_of_this_program()
    return app


def _app_of_this_program() -> Celery:
    try:
        config = read_settings(None)
        if not config.broker:
            raise SettingsError(
                "No broker is configured. Set `broker` in roster.toml, as in redis://127.0.0.1:6379/0"
            )
        if not {"beat", "flower"} & set(sys.argv):
            settings.read_message_settings(config)
        if "flower" in sys.argv:
            flower.prepare()
    except RosterError as error:
        sys.exit(str(error))
    # Celery reads its options from the environment too. Its own default is one name for all workers of a machine,
    # and workers of one name are one worker in Flower.
    os.environ.setdefault("CELERY_WORKER_HOSTNAME", f"worker-{os.getpid()}-{secrets.token_hex(2)}@%h")
    signals.import_modules.connect(_refuse_other_tasks)
    signals.setup_logging.connect(lambda **_: logs.configure(config.log, config.log_level or "info"), weak=False)
    signals.worker_init.connect(lambda **_: preload(config.ledger), weak=False)
    return make_app(config)
