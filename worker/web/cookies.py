"""The two cookies: whose session this is, and which browser's form."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.datastructures import MutableHeaders
    from starlette.requests import Request

SESSION, VISITOR = "roster_session", "roster_visitor"


def is_secure(request: Request) -> bool:
    """Tell whether people reach the page by https, this server itself or a proxy in front of it."""
    public: str = request.app.state.services.settings.serve.public_url
    return request.url.scheme == "https" or public.startswith("https://")


def set_cookie(request: Request, headers: MutableHeaders, name: str, value: str) -> None:
    """Set a cookie that no script sees and that comes with nothing another site makes a browser send."""
    secure = "; Secure" if is_secure(request) else ""
    headers.append("Set-Cookie", f"{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}")


def take_cookie(request: Request, headers: MutableHeaders, name: str) -> None:
    """Take a cookie away."""
    secure = "; Secure" if is_secure(request) else ""
    headers.append("Set-Cookie", f'{name}=""; Path=/; Max-Age=0; HttpOnly; SameSite=Lax{secure}')
