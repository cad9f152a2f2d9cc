"""Download a roster from a web address, redirect by redirect: each address is held to the same rules.

Each name is looked up once, and the connection goes to the address that was checked: a name that leads elsewhere a
moment later changes nothing.
"""

from __future__ import annotations

import ssl
import time
from http import HTTPStatus
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urljoin

import httpx

from worker.addresses import IpAddress, look_up, masked
from worker.errors import MissingFile, Unreachable, UsageError
from worker.private_files import create_private_file
from worker.schedules.web_address import PORTS, WebAddress, parse_web_address, refuse_special

if TYPE_CHECKING:
    from pathlib import Path

#: Redirects that are followed.
MAX_REDIRECTS = 5
#: How long a step and the whole download may take (seconds).
STEP_SECONDS, TOTAL_SECONDS = 30.0, 300.0


def download(address: str, path: Path, *, largest: float) -> None:
    """Download an address to a new file. Raises UsageError, also when it has more than `largest` bytes."""
    first = now = parse_web_address(address)
    deadline = time.monotonic() + TOTAL_SECONDS
    for _ in range(MAX_REDIRECTS + 1):
        target = _fetch(now, path, first, largest=largest, deadline=deadline)
        if target is None:
            return
        now = _follow(now, target)
    raise UsageError(f"{masked(address)} redirects more than {MAX_REDIRECTS} times")


def _follow(now: WebAddress, target: str) -> WebAddress:
    """Return where a redirect leads. Raises UsageError when it must not be followed."""
    following = parse_web_address(urljoin(now.text, target))
    if now.parts.scheme == "https" and following.parts.scheme != "https":
        raise UsageError(f"{masked(now.text)} redirects to {masked(following.text)}, which is not encrypted")
    if following.is_local and not now.is_local:
        raise UsageError(f"{masked(now.text)} redirects to this machine ({masked(following.text)})")
    return following


def _fetch(now: WebAddress, path: Path, first: WebAddress, *, largest: float, deadline: float) -> str | None:
    """Download one address, and return where it redirects to; None when the file is complete."""
    shown = masked(now.text)
    try:
        found = look_up(now.host)
        refuse_special(shown, found)
        if now is not first and not first.is_local and any(each.is_loopback for each in found):
            raise UsageError(f"{masked(first.text)} redirects to this machine ({shown})")
        return _try_each(now, found, path, first, largest=largest, deadline=deadline)
    except httpx.HTTPError as error:
        text = "certificate is not valid" if "certificate" in str(error).casefold() else "host cannot be reached"
        raise Unreachable(f"{shown} could not be fetched: its {text}") from None
    except (OSError, httpx.InvalidURL, UnicodeError):
        raise Unreachable(f"{shown} could not be fetched: its host cannot be reached") from None


def _try_each(
    now: WebAddress, found: list[IpAddress], path: Path, first: WebAddress, *, largest: float, deadline: float
) -> str | None:
    """Download from the first of a host's addresses that accepts a connection."""
    # Proxies and .netrc of the machine are not used, as for the LMS.
    context = ssl.create_default_context() if now.parts.scheme == "https" else False
    with httpx.Client(verify=context, timeout=STEP_SECONDS, follow_redirects=False, trust_env=False) as client:
        for at, each in enumerate(found, start=1):
            try:
                with client.stream(**_request(now, each, first)) as response:
                    return _receive(now, response, path, largest=largest, deadline=deadline)
            except httpx.ConnectError:
                if at == len(found):
                    raise
    return None


def _request(now: WebAddress, to: IpAddress, first: WebAddress) -> dict[str, Any]:
    """Return the request to one address of the host: its own name is in the Host header and in the handshake."""
    name = f"[{now.host}]" if ":" in now.host else now.host.encode("idna").decode()
    shown_port = "" if now.port == PORTS[now.parts.scheme] else f":{now.port}"
    target = f"[{to}]" if isinstance(to, IPv6Address) else str(to)
    query = f"?{now.parts.query}" if now.parts.query else ""
    user, password = unquote(first.parts.username or ""), unquote(first.parts.password or "")
    return {
        "method": "GET",
        "url": f"{now.parts.scheme}://{target}:{now.port}{now.parts.path or '/'}{query}",
        "headers": {"Host": f"{name}{shown_port}"},
        "auth": (user, password) if (user or password) and first.origin == now.origin else None,
        "extensions": {"sni_hostname": now.host.encode("idna").decode()},
    }


def _receive(
    now: WebAddress, response: httpx.Response, path: Path, *, largest: float, deadline: float
) -> str | None:
    shown = masked(now.text)
    if response.has_redirect_location:
        return response.headers["location"]
    if response.status_code == HTTPStatus.NOT_FOUND:
        raise MissingFile(f"{shown} does not exist")
    if response.status_code != HTTPStatus.OK:
        raise UsageError(f"{shown} could not be fetched: its host answered {response.status_code}")
    with create_private_file(path) as file:
        for piece in response.iter_bytes():
            if file.tell() + len(piece) > largest:
                raise UsageError(f"{shown} is larger than {largest / 2**20:.0f} MB, so it was not fetched")
            if time.monotonic() > deadline:
                raise Unreachable(f"{shown} could not be fetched: it takes longer than {TOTAL_SECONDS:.0f} seconds")
            file.write(piece)
    return None
