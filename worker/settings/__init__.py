"""The configuration, read once from roster.toml and ROSTER_*; frozen.

Knows no LMS: each connector declares its own keys in a subclass of `Connection`.
"""

from worker.settings.expected_time import ExpectedTime, parse_expected_time
from worker.settings.loading import EXAMPLE, explain_validation, load, read_address
from worker.settings.messages import (
    Email,
    Event,
    Mail,
    MessageSettings,
    Receiver,
    Webhook,
    WebhookFormat,
    literal_secrets,
    read_message_settings,
    webhook_key,
)
from worker.settings.models import (
    Connection,
    Folder,
    HiddenText,
    Network,
    Secret,
    Serve,
    Settings,
    Text,
    is_loopback,
)
from worker.settings.secret_places import SecretPlaces, secret_places

__all__ = [
    "EXAMPLE",
    "Connection",
    "Email",
    "Event",
    "ExpectedTime",
    "Folder",
    "HiddenText",
    "Mail",
    "MessageSettings",
    "Network",
    "Receiver",
    "Secret",
    "SecretPlaces",
    "Serve",
    "Settings",
    "Text",
    "Webhook",
    "WebhookFormat",
    "explain_validation",
    "is_loopback",
    "literal_secrets",
    "load",
    "parse_expected_time",
    "read_address",
    "read_message_settings",
    "secret_places",
    "webhook_key",
]
