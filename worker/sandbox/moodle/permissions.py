"""What the service account may do, and how the site's version words what it may not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from worker.sandbox.messages import Answer, Refused
from worker.sandbox.moodle import errors
from worker.sandbox.moodle.options import CAPABILITIES, MoodleOptions, Version


class Permissions:
    """The capabilities that are left."""

    def __init__(self, options: MoodleOptions) -> None:
        self.held = CAPABILITIES - options.lacks
        self.namespaced = options.version is not Version.OLD

    def may(self, capability: str) -> bool:
        """Whether the account has a capability."""
        return capability in self.held

    def need(self, capability: str, what: str) -> None:
        """Refuse the call of an account that lacks a capability; `what` as Moodle calls it."""
        if capability not in self.held:
            raise Refused(self.error("nopermissions", what=what))

    def error(self, code: str, **words: Any) -> Answer:
        """Return one of Moodle's errors as this version words it."""
        return errors.error(code, namespaced=self.namespaced, **words)

    def wrap(self, make: Callable[..., Answer], *words: str) -> Answer:
        """Return an error of the caller's own words as this version words it."""
        return make(*words, namespaced=self.namespaced)
