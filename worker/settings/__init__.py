"""The configuration, read once from roster.toml and ROSTER_*; frozen.

Knows no LMS: a connection's own keys are declared by its connector, as a subclass of `Connection`.
"""

from worker.settings.connection import Connection, is_loopback
from worker.settings.loading import EXAMPLE, explain, load, unknown_variables
from worker.settings.root import Settings
from worker.settings.secrets import Hidden, Secret, Text
from worker.settings.serve import Serve

__all__ = [
    "EXAMPLE",
    "Connection",
    "Hidden",
    "Secret",
    "Serve",
    "Settings",
    "Text",
    "explain",
    "is_loopback",
    "load",
    "unknown_variables",
]
