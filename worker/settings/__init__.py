"""The configuration, read once from roster.toml and ROSTER_*; frozen.

Knows no LMS: a connection's own keys are declared by its connector, as a subclass of `Connection`.
"""

from worker.settings.loading import EXAMPLE, explain, load, unknown_variables
from worker.settings.messages import Email, Event, Mail, Post, Receiver, Webhook, literal_secrets, read_post
from worker.settings.models import Connection, Folder, Hidden, Secret, Serve, Settings, Text, is_loopback

__all__ = [
    "EXAMPLE",
    "Connection",
    "Email",
    "Event",
    "Folder",
    "Hidden",
    "Mail",
    "Post",
    "Receiver",
    "Secret",
    "Serve",
    "Settings",
    "Text",
    "Webhook",
    "explain",
    "is_loopback",
    "literal_secrets",
    "load",
    "read_post",
    "unknown_variables",
]
