"""Access control of every page and API: local requests with a secret token only.

A browser lets any site send requests to this machine. So a request must have this server's host
name (which prevents DNS rebinding), must come from one of its own pages if it comes from a page,
and must carry the token that the terminal printed. The token is in the URL of the first request;
after that it is in a SameSite cookie, which a browser does not send for other sites.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = "127.0.0.1"
TOKEN_PARAMETER = "token"  # noqa: S105 -- the name of the parameter, not a secret
SAFE_METHODS = frozenset({"GET", "HEAD"})
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",  # without a referrer, a form's origin would be null
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True)
class WebAddress:
    """The server's port and its secret token."""

    port: int
    token: str

    @property
    def hosts(self) -> frozenset[str]:
        """The accepted values of the Host header."""
        names = {f"{name}:{self.port}" for name in (LOOPBACK, "localhost")}
        return frozenset(names | ({LOOPBACK, "localhost"} if self.port == 80 else set()))  # noqa: PLR2004 -- HTTP's default port

    @property
    def url(self) -> str:
        """The URL to open, with the token."""
        return f"http://{LOOPBACK}:{self.port}/?{TOKEN_PARAMETER}={self.token}"

    @property
    def cookie_name(self) -> str:
        """The cookie's name; it contains the port because cookies are shared between ports."""
        return f"upbring-{self.port}"


def make_web_address(port: int) -> WebAddress:
    """Return an address with a new random token."""
    return WebAddress(port, secrets.token_urlsafe(32))


class WebGuard:
    """ASGI middleware that checks requests; `headers` overrides the default security headers."""

    def __init__(
        self, app: "ASGIApp", address: WebAddress, *, headers: Mapping[str, str] | None = None
    ) -> None:
        self._app = app
        self._address = address
        self._headers = {**SECURITY_HEADERS, **(headers or {})}

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass a request to the application, or reject it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, self._with_headers(send))

    def _refusal(self, scope: "Scope") -> Response | None:
        """Return the response to a rejected request; None if the request is allowed."""
        headers = Headers(scope=scope)
        if scope["type"] != "http":
            return PlainTextResponse("only HTTP is supported; open the printed URL", 403)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self._address.hosts:
            return PlainTextResponse("unknown host name; open the printed URL", 421)
        if not self._is_same_origin(headers, method=scope["method"]):
            return PlainTextResponse("cross-site request rejected; open the page directly", 403)
        if self._has_token(headers):
            return None
        return self._log_in(scope)

    def _is_same_origin(self, headers: Headers, *, method: str) -> bool:
        """Whether a request comes from this server's pages or from no page (curl, a new tab)."""
        origin = headers.get("origin")
        if origin is not None:
            return origin.lower() in {f"http://{host}" for host in self._address.hosts}
        site = headers.get("sec-fetch-site")
        if method in SAFE_METHODS:
            is_navigation = headers.get("sec-fetch-mode") == "navigate"
            return site in {None, "none", "same-origin"} or is_navigation
        return site in {None, "same-origin"}

    def _has_token(self, headers: Headers) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(token.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self._address.cookie_name)
        except CookieError:
            return False
        return cookie is not None and self._is_token(cookie.value)

    def _log_in(self, scope: "Scope") -> Response:
        """Move a valid token from the URL into a cookie and redirect; reject other requests."""
        query = parse_qsl(scope["query_string"].decode("latin-1"))
        tokens = [value for name, value in query if name == TOKEN_PARAMETER]
        if scope["method"] not in SAFE_METHODS or not any(map(self._is_token, tokens)):
            return PlainTextResponse("missing or wrong token; open the printed URL", 401)
        rest = urlencode([pair for pair in query if pair[0] != TOKEN_PARAMETER])
        path = "/" + scope["path"].lstrip("/\\")  # "//" would redirect to another host
        response = RedirectResponse(path + (f"?{rest}" if rest else ""), 303)
        response.set_cookie(
            self._address.cookie_name, self._address.token, httponly=True, samesite="strict"
        )
        return response

    def _is_token(self, token: str) -> bool:
        return secrets.compare_digest(token.encode(errors="replace"), self._address.token.encode())

    def _with_headers(self, send: "Send") -> "Send":
        async def send_with_headers(message: "Message") -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        return send_with_headers
