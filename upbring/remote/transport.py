"""One HTTP request with a JSON body, and how long to wait before it is sent again.

The standard library suffices (decision 0027). Redirects are not followed: they would send the data
and the key to a server that the user did not name.
"""

import datetime as dt
import email.utils
import functools
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException
from typing import IO

from upbring.errors import InputError, format_value
from upbring.plurals import format_count
from upbring.remote.address import API_KEY_VARIABLE, api_key

BUSY_STATUSES = frozenset({429, 503, 529})
BROKEN_STATUSES = frozenset({408, 409, 425, 500, 502, 504})
BUSY_PATIENCE_SECONDS = 300.0  # waiting for a server that answers that it is busy
BROKEN_PATIENCE_SECONDS = 10.0  # waiting for one that fails or is not there: four attempts
MAX_PAUSE_SECONDS = 30.0
MAX_REPLY_BYTES = 50_000_000
PREVIEW_BYTES = 300


class RefusedError(InputError):
    """The server refused a request; repeating it would not help."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request failed, how long to wait before the next attempt, and what to do in the end."""

    problem: str
    advice: str
    is_busy: bool = False
    retry_after: float | None = None

    def pause(self, attempt: int) -> float:
        """Return the seconds to wait after the attempt (0: the first)."""
        if self.retry_after is not None:
            return self.retry_after
        return float(min(MAX_PAUSE_SECONDS, 2**attempt))

    @property
    def patience(self) -> float:
        """The total of seconds to wait."""
        return BUSY_PATIENCE_SECONDS if self.is_busy else BROKEN_PATIENCE_SECONDS


def post(url: str, body: bytes, *, timeout: float, name: str) -> bytes | Failure:
    """Return the body of the reply, or a failure that may pass; raise if it will not."""
    headers = {"Content-Type": "application/json"}
    if key := api_key():
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(url, body, headers)  # noqa: S310 -- is_url accepts only http(s)
    try:
        with _opener().open(request, timeout=timeout) as reply:
            content: bytes = reply.read(MAX_REPLY_BYTES + 1)
            num_missing = reply.length or 0  # bytes that the header promised
    except urllib.error.HTTPError as error:
        return _explain_status(error, name)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            advice = "check that the server is not overloaded, or lower --concurrency"
            return Failure(f"did not answer within {timeout:g} seconds", advice)
        advice = "check the URL, and that the server is running"
        return Failure(f"cannot be reached ({reason})", advice)
    if len(content) > MAX_REPLY_BYTES:
        raise InputError(f"{name}: replied with more than {MAX_REPLY_BYTES:,} bytes; check the URL")
    if num_missing:
        return Failure(
            f"broke off {format_count(num_missing, 'byte')} before the end", "try again later"
        )
    return content


def _explain_status(error: urllib.error.HTTPError, name: str) -> Failure:
    """Return the failure of a status that may pass; raise for one that will not."""
    with error:
        status = error.code
        try:
            preview = format_value(error.read(PREVIEW_BYTES).decode(errors="replace"), limit=200)
        except (OSError, HTTPException):
            preview = "an unfinished reply"
    problem = f"responded with HTTP status {status}: {preview}"
    if status in BUSY_STATUSES | BROKEN_STATUSES:
        is_busy, retry_after = status in BUSY_STATUSES, parse_retry_after(error.headers)
        return Failure(problem, "try again later", is_busy, retry_after)
    if error.headers.get("Location"):
        problem = f"redirects to {format_value(error.headers['Location'])}"
    raise RefusedError(f"{name}: {problem}; {_status_advice(status)}", status=status)


def _status_advice(status: int) -> str:
    if status in {401, 403}:
        return f"set the environment variable {API_KEY_VARIABLE} to the API key"
    if status == 404:  # noqa: PLR2004 -- not found
        return "give the URL up to and including /v1, and the name of a served model after #"
    if 300 <= status < 400:  # noqa: PLR2004 -- redirects
        return "give that URL, if you trust it"
    return "ask the operator of the server"


def parse_retry_after(headers: Message) -> float | None:
    """Return the seconds to wait that a server asks for, or None.

    It asks in milliseconds (`retry-after-ms`), in seconds, or with a date.
    """
    milliseconds, text = headers.get("retry-after-ms", ""), headers.get("retry-after", "").strip()
    try:
        if milliseconds:
            return max(0.0, float(milliseconds) / 1000)
        return max(0.0, float(text)) if text else None
    except ValueError:
        pass
    try:
        date = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=dt.UTC)
    return max(0.0, (date - dt.datetime.now(dt.UTC)).total_seconds())


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Message,
        newurl: str,
    ) -> None:
        """Return no request, so that the status is an error."""
        del req, fp, code, msg, headers, newurl


@functools.cache
def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NoRedirects)
