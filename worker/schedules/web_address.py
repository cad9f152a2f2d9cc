"""Web addresses from which a schedule may fetch its roster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from worker.addresses import has_control_characters, is_refused, masked, numeric_addresses
from worker.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from worker.addresses import IpAddress

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
#: The usual port of each scheme.
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class WebAddress:
    """A web address whose parts are known, and that may be called."""

    text: str
    parts: SplitResult
    host: str
    port: int

    @property
    def is_local(self) -> bool:
        """Return whether the host is this machine."""
        return self.host in _LOOPBACK

    @property
    def origin(self) -> tuple[str, str, int]:
        """Return what must be the same for credentials to be sent."""
        return self.parts.scheme, self.host, self.port


def parse_web_address(text: str) -> WebAddress:
    """Return an address that may be called. Raises UsageError that shows no password."""
    shown = masked(text)
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, PORTS.get(parts.scheme, -1) if parts.port is None else parts.port
    except ValueError:
        host, port = None, 0
    if has_control_characters(text) or "\\" in text or not host or not port:
        raise UsageError(
            f"{shown} is not a valid address: it needs a host, perhaps a port, and no line breaks; in a password "
            "write @ as %40, / as %2F and : as %3A"
        )
    address = WebAddress(text=text, parts=parts, host=host, port=port)
    if parts.scheme not in PORTS or (parts.scheme == "http" and not address.is_local):
        raise UsageError(f"{shown}: http:// sends names and addresses in plain text; use https://")
    refuse_special(shown, numeric_addresses(host))
    return address


def refuse_special(shown: str, found: Iterable[IpAddress]) -> None:
    """Raise UsageError when a host is one from which nothing is fetched."""
    if any(map(is_refused, found)):
        raise UsageError(
            f"{shown} leads to a link-local address, or to one where a cloud keeps the credentials of its "
            "machines; no roster is fetched from there"
        )
