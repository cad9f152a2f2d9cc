"""Addresses that may contain a password, and hosts from which nothing is fetched."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import Any

_HIDDEN = "***"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,39}")
_HOST = re.compile(r"(?P<name>[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")
_HIGHEST_PORT = 65_535
_QUOTED = re.compile(r"([\"'])(.*?)\1")
#: Schemes of files, in whose paths an @ is no sign of a password.
_OF_FILES = frozenset({"file", "local", "sqlite"})
#: Where clouds answer with the credentials of the machine, besides link-local addresses.
_METADATA = frozenset(
    map(ipaddress.ip_address, ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "192.0.0.192", "168.63.129.16"))
)
#: IPv6 addresses that lead to the IPv4 address in their last four bytes.
_WITH_IPV4 = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "::/96")))
_LOOPBACK = ipaddress.ip_address("::1")
_BROADCAST = ipaddress.ip_address("255.255.255.255")
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def masked(address: str) -> str:
    """Return an address for people: without user, password, query and fragment, however it is spelled.

    What may be part of a password is hidden too. Of a text that is no address nothing is shown.
    """
    scheme, found, rest = address.partition("://")
    if not found or not _SCHEME.fullmatch(scheme):
        return "the value"
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    tail = rest[len(authority) :]
    has_host = bool(authority) or scheme.partition("+")[0].casefold() not in _OF_FILES
    if (has_host and "@" in tail) or not address.isprintable():  # perhaps of a password that is not escaped
        return f"{scheme}://{_HIDDEN}"
    user, at, host = authority.rpartition("@")
    if "@" in user or not _is_host(host):
        return f"{scheme}://{_HIDDEN}"
    path, query = re.split(r"[?#]", f"{tail}?", maxsplit=1)
    if "=" in path or "%3d" in path.casefold():
        path = f"/{_HIDDEN}"
    hidden_query = f"?{_HIDDEN}" if query.split("#", 1)[0].strip("?") else ""
    return f"{scheme}://{f'{_HIDDEN}@' if at else ''}{host}{path}{hidden_query}"


def _is_host(host: str) -> bool:
    """Return whether this is surely a host, perhaps with its port: what follows a colon may be a password."""
    match = _HOST.fullmatch(host)
    return not host or (match is not None and int(match["port"] or 0) <= _HIGHEST_PORT)


def without_quoted(message: str, *, but: str) -> str:
    """Return a library's message with each quoted part replaced that is not in the text `but`."""
    return _QUOTED.sub(lambda match: match[0] if match[2] in but else f"{match[1]}…{match[1]}", message)


def has_control_characters(address: str) -> bool:
    """Return whether an address has line breaks or other characters that no address has."""
    return any(character < " " or "\x7f" <= character <= "\x9f" for character in address)


def numeric_addresses(host: str) -> list[IpAddress]:
    """Return the address that a host is written as, in whatever notation; none for a name."""
    try:
        return _addresses(host, flags=socket.AI_NUMERICHOST)
    except OSError:
        return []


def look_up(host: str) -> list[IpAddress]:
    """Return the addresses of a host. Raises OSError when there are none."""
    return list(dict.fromkeys(_addresses(host)))


def _addresses(host: str, **options: Any) -> list[IpAddress]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, **options)
    except UnicodeError as error:
        raise OSError(str(type(error).__name__)) from None
    return [ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in found]


def is_refused(address: IpAddress) -> bool:
    """Return whether nothing may be fetched from there: link-local, a cloud's metadata, or no single host."""
    embedded = None if address == _LOOPBACK else _embedded(address)
    return (
        address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address == _BROADCAST
        or address in _METADATA
        or (embedded is not None and is_refused(embedded))
    )


def _embedded(address: IpAddress) -> IpAddress | None:
    """Return the IPv4 address that an IPv6 address leads to; None when it leads to none."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if any(address in network for network in _WITH_IPV4):
        return ipaddress.IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
