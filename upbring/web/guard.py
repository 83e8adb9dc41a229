"""What stands before every page and API: this machine, its own pages, and who has the key alone.

A browser lets any site send requests to this machine. So a request must name us as its host (a name
that was rebound to 127.0.0.1 does not), come from our own page if it comes from a page at all, and
carry a token that only the terminal has shown. The token comes once in the address; then a cookie
keeps it, which no other site can make a browser send.
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
TOKEN = "token"  # noqa: S105 -- the name of the parameter, not a secret
READING = frozenset({"GET", "HEAD"})
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",  # with none at all a form's origin would be null
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True)
class Door:
    """Where we are reached, and the key."""

    port: int
    token: str

    @property
    def hosts(self) -> frozenset[str]:
        """What a browser calls us."""
        names = {f"{name}:{self.port}" for name in (LOOPBACK, "localhost")}
        return frozenset(names | ({LOOPBACK, "localhost"} if self.port == 80 else set()))  # noqa: PLR2004 -- http's own

    @property
    def address(self) -> str:
        """What to open."""
        return f"http://{LOOPBACK}:{self.port}/?{TOKEN}={self.token}"

    @property
    def cookie(self) -> str:
        """The name under which a browser keeps the key; it knows no ports, so the name does."""
        return f"upbring-{self.port}"


def make_door(port: int) -> Door:
    """Return a door with a key of its own."""
    return Door(port, secrets.token_urlsafe(32))


class Guard:
    """An application behind a door; `headers` replaces some of those that it sets."""

    def __init__(
        self, app: "ASGIApp", door: Door, *, headers: Mapping[str, str] | None = None
    ) -> None:
        self._app = app
        self._door = door
        self._headers = {**HEADERS, **(headers or {})}

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Answer a request, or say why not."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, self._with_headers(send))

    def _refusal(self, scope: "Scope") -> Response | None:
        """Return what to answer instead; None where the request may pass."""
        headers = Headers(scope=scope)
        if scope["type"] != "http":
            return PlainTextResponse("upbring speaks HTTP here", 403)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self._door.hosts:
            return PlainTextResponse("another host's name; open the address as it was printed", 421)
        if not self._is_own(headers, method=scope["method"]):
            return PlainTextResponse("another site's request; open the page itself", 403)
        if self._is_known(headers):
            return None
        return self._welcome(scope)

    def _is_own(self, headers: Headers, *, method: str) -> bool:
        """Whether a request comes from our own page, or from nobody's: a reader, a new tab."""
        origin = headers.get("origin")
        if origin is not None:
            return origin.lower() in {f"http://{host}" for host in self._door.hosts}
        site = headers.get("sec-fetch-site")
        if method in READING:
            is_opened = headers.get("sec-fetch-mode") == "navigate"
            return site in {None, "none", "same-origin"} or is_opened
        return site in {None, "same-origin"}

    def _is_known(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_key(given.strip()):
            return True
        try:
            kept = SimpleCookie(headers.get("cookie", "")).get(self._door.cookie)
        except CookieError:
            return False
        return kept is not None and self._is_key(kept.value)

    def _welcome(self, scope: "Scope") -> Response:
        """Let the key in that came with the address, and take it out of the address."""
        query = parse_qsl(scope["query_string"].decode("latin-1"))
        given = [value for name, value in query if name == TOKEN]
        if scope["method"] not in READING or not any(map(self._is_key, given)):
            return PlainTextResponse("no key; open the address as it was printed", 401)
        rest = urlencode([pair for pair in query if pair[0] != TOKEN])
        path = "/" + scope["path"].lstrip("/\\")  # two slashes would lead to another host
        response = RedirectResponse(path + (f"?{rest}" if rest else ""), 303)
        response.set_cookie(self._door.cookie, self._door.token, httponly=True, samesite="strict")
        return response

    def _is_key(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(errors="replace"), self._door.token.encode())

    def _with_headers(self, send: "Send") -> "Send":
        async def sent(message: "Message") -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        return sent
