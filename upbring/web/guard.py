"""Access control of every page and API: local requests with a secret token only.

A browser lets any site send requests to this machine. So a request must have this server's host
name (which prevents DNS rebinding), must come from one of its own pages if it comes from a page,
and must carry the token that the terminal printed. The token is in the URL of the first request;
after that it is in a SameSite cookie, which a browser does not send for other sites.

An application may know more tokens, of other people; it finds whose token a request carried with
`identity_of(scope)`.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = "127.0.0.1"
LOOPBACK_HOSTS = frozenset({LOOPBACK, "localhost", "::1"})
TOKEN_PARAMETER = "token"  # noqa: S105 -- the name of the parameter, not a secret
OWNER = "owner"  # the identity of the server's own token
IDENTITY_KEY = "upbring.identity"  # in the scope of a request
HTTP_PORT = 80  # which a Host header may leave out
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
    """The server's port, its secret token, and the names under which it is reached."""

    port: int
    token: str
    names: tuple[str, ...] = (LOOPBACK, "localhost")  # the first is in the printed URL

    @property
    def hosts(self) -> frozenset[str]:
        """The accepted values of the Host header."""
        hosts = {f"{name}:{self.port}" for name in self.names}
        return frozenset(hosts | (set(self.names) if self.port == HTTP_PORT else set()))

    @property
    def url(self) -> str:
        """The URL to open, with the token."""
        return self.url_with(self.token)

    def url_with(self, token: str) -> str:
        """Return the URL that logs in with a token."""
        return f"http://{self.names[0]}:{self.port}/?{TOKEN_PARAMETER}={token}"

    @property
    def cookie_name(self) -> str:
        """The cookie's name; it contains the port because cookies are shared between ports."""
        return f"upbring-{self.port}"


@dataclass(frozen=True, slots=True)
class GuardOptions:
    """What an application changes in the guard.

    `headers` override the default security headers. `identify` returns who has a token other than
    the server's own, or None. `public_paths` need no token; an open server needs none at all.
    """

    headers: Mapping[str, str] = field(default_factory=dict)
    identify: Callable[[str], str | None] = lambda _: None
    public_paths: frozenset[str] = frozenset()
    is_open: bool = False


def make_web_address(port: int, *, names: tuple[str, ...] = (LOOPBACK, "localhost")) -> WebAddress:
    """Return an address with a new random token."""
    return WebAddress(port, secrets.token_urlsafe(32), names)


def identity_of(scope: "Scope") -> str:
    """Return whose token a request carried; `OWNER` is who has the server's own token."""
    return str(scope[IDENTITY_KEY])


class WebGuard:
    """ASGI middleware that checks requests."""

    def __init__(
        self, app: "ASGIApp", address: WebAddress, options: GuardOptions | None = None
    ) -> None:
        self._app = app
        self._address = address
        self._options = options or GuardOptions()
        self._headers = {**SECURITY_HEADERS, **self._options.headers}

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
        return self._check_token(scope, headers)

    def _check_token(self, scope: "Scope", headers: Headers) -> Response | None:
        query = parse_qsl(scope["query_string"].decode("latin-1"))
        url_tokens = [value for name, value in query if name == TOKEN_PARAMETER]
        if url_tokens:  # also if there is a cookie: the link may be another person's
            return self._log_in(scope, query, url_tokens[0])
        identity = self._identify_headers(headers)
        is_public = self._options.is_open or scope["path"] in self._options.public_paths
        if identity is None and not is_public:
            return _no_token()
        scope[IDENTITY_KEY] = identity or ""
        return None

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

    def _identify_headers(self, headers: Headers) -> str | None:
        """Return whose token the Authorization header or the cookie carries."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and (identity := self._identify(token.strip())):
            return identity
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self._address.cookie_name)
        except CookieError:
            return None
        return None if cookie is None else self._identify(cookie.value)

    def _log_in(self, scope: "Scope", query: list[tuple[str, str]], token: str) -> Response:
        """Move a valid token from the URL into a cookie and redirect; reject other requests."""
        if scope["method"] not in SAFE_METHODS or self._identify(token) is None:
            return _no_token()
        rest = urlencode([pair for pair in query if pair[0] != TOKEN_PARAMETER])
        path = "/" + scope["path"].lstrip("/\\")  # "//" would redirect to another host
        response = RedirectResponse(path + (f"?{rest}" if rest else ""), 303)
        response.set_cookie(self._address.cookie_name, token, httponly=True, samesite="strict")
        return response

    def _identify(self, token: str) -> str | None:
        is_own = secrets.compare_digest(
            token.encode(errors="replace"), self._address.token.encode()
        )
        return OWNER if is_own else self._options.identify(token)

    def _with_headers(self, send: "Send") -> "Send":
        async def send_with_headers(message: "Message") -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        return send_with_headers


def _no_token() -> Response:
    return PlainTextResponse("missing or wrong token; open the printed URL", 401)
