"""The configuration, read once from roster.toml and ROSTER_*; frozen.

Knows no LMS: each connector declares its own keys in a subclass of `Connection`.
"""

from worker.settings.expected_time import ExpectedTime, parse_expected_time
from worker.settings.loading import EXAMPLE, explain_validation, load, missing_key, read_address, unknown_keys
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
    unknown_message_keys,
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
    "missing_key",
    "parse_expected_time",
    "read_address",
    "read_message_settings",
    "secret_places",
    "unknown_keys",
    "unknown_message_keys",
    "webhook_key",
]
