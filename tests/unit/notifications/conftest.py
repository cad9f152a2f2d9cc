from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.message_receivers import SECRET, Hook, MailServer, a_hook, a_mail_server
from worker.settings import MessageSettings, Settings, read_message_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def hook() -> Iterator[Hook]:
    with a_hook() as opened:
        yield opened


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    with a_mail_server() as opened:
        yield opened


@pytest.fixture
def settings_of(hook: Hook, mail_server: MailServer) -> Callable[..., MessageSettings]:
    """Read a configuration with a webhook and a mail receiver; the changes are made to both."""

    def read(*, mail: dict[str, Any] | None = None, **changes: Any) -> MessageSettings:
        messages = {
            "hook": {"kind": "webhook", "url": hook.url, "secret": SECRET, **changes},
            "office": {"kind": "email", "to": ["office@example.com"], **changes},
        }
        server = {"host": "127.0.0.1", "port": mail_server.port, "security": "none", "from": "roster@example.com"}
        return read_message_settings(Settings(messages=messages, mail={**server, **(mail or {})}))

    return read
