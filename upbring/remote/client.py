"""Calls of one server: concurrent, retried, within a budget, each paid for once.

The key of a call is a hash of everything that determines its answer: the address, the path and the
whole body with model, messages and settings. A reply is stored before it is used, so that a process
that is killed loses only the calls in flight, and a second run makes none. Excluded: what the calls
are about, and where the replies are kept.
"""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Protocol

from upbring.errors import InputError, format_value
from upbring.plurals import format_count
from upbring.remote.address import Address, parse_address
from upbring.remote.transport import Failure, post
from upbring.remote.usage import Usage, read_usage

MAX_CONCURRENT_CALLS = 8
TIMEOUT_SECONDS = 120.0
POLL_SECONDS = 0.2
LONG_PAUSE_SECONDS = 5.0  # a pause that is worth a message

Reply = Mapping[str, object]


class CallRows(Protocol):
    """Where replies are kept, such as `durable.KeyedRows`."""

    def get(self, key: str, /) -> Mapping[str, Any] | None:
        """Return the row of a key, or None."""

    def add(self, rows: Sequence[Mapping[str, Any]], /) -> None:
        """Add rows; they survive a crash when this returns."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request: a path below the address, and the body."""

    path: str
    body: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class CallLimits:
    """What a client may do."""

    concurrency: int = MAX_CONCURRENT_CALLS
    timeout_seconds: float = TIMEOUT_SECONDS
    max_calls: int | None = None  # paid calls; stored replies are free


class Client:
    """The calls of one server."""

    def __init__(
        self,
        url: str,
        rows: CallRows,
        *,
        limits: CallLimits | None = None,
        poll: Callable[[], None] = lambda: None,
        log: Callable[[str], None] = lambda _: None,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        self.address: Address = parse_address(url)
        self.usage = Usage()  # of the calls of this client, not of stored replies
        self._rows, self._limits, self._poll, self._log = rows, limits or CallLimits(), poll, log
        self._stop = threading.Event()
        self._pause = pause or self._stop.wait
        self._lock = threading.Lock()
        self._resume_at = 0.0  # no call starts before, because the server asked to wait
        self._served: str | None = None  # the model that answered first

    @property
    def name(self) -> str:
        """The name of the server in messages."""
        return self.address.text

    @property
    def served_model(self) -> str | None:
        """The model that the server says it is, once it answered."""
        return self._served

    def key(self, call: Call) -> str:
        """Return the hash of everything that determines the reply."""
        parts = [self.address.base, call.path, call.body]
        text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:32]

    def missing(self, calls: Sequence[Call]) -> dict[str, Call]:
        """Return the calls without a stored reply, each once, by key."""
        by_key = {self.key(call): call for call in calls}
        return {key: call for key, call in by_key.items() if self._rows.get(key) is None}

    def call_all(self, calls: Sequence[Call]) -> list[Reply]:
        """Return the reply to each call, stored ones at once, the others concurrently."""
        missing = self.missing(calls)
        keys = [self.key(call) for call in calls]
        for key in keys:
            if key not in missing:
                self._check_model(self._reply(key))
        self._check_budget(len(missing))
        self._run(missing)
        return [self._reply(key) for key in keys]

    def _reply(self, key: str) -> Reply:
        row = self._rows.get(key)
        assert row is not None, "every missing call was made"
        reply = row["reply"]
        assert isinstance(reply, Mapping), "only JSON objects are stored"
        return reply

    def _check_budget(self, count: int) -> None:
        limit = self._limits.max_calls
        if limit is not None and self.usage.calls + count > limit:
            left = limit - self.usage.calls
            raise InputError(
                f"{self.name}: needs {format_count(count, 'more call')}, and {left:,} of "
                f"max_calls {limit:,} are left; raise --max-calls, or lower --limit; the replies "
                "so far are kept"
            )

    def _check_model(self, reply: Reply) -> None:
        """Raise if another model answered than before: their answers are not mixed."""
        served = reply.get("model")
        if not isinstance(served, str) or not served:
            return
        self._served = self._served or served
        if served != self._served:
            raise InputError(
                f"{self.name}: answered as model {format_value(served)}, and as "
                f"{format_value(self._served)} before; answers of two models are not mixed: name "
                "one of them after # in the URL, or choose another folder with --to"
            )

    def _run(self, missing: Mapping[str, Call]) -> None:
        """Make the calls and store their replies; on an error those in flight are stored too."""
        if not missing:
            return
        self._stop.clear()
        with ThreadPoolExecutor(min(self._limits.concurrency, len(missing))) as pool:
            pending: set[Future[None]] = {
                pool.submit(self._call_and_store, key, call) for key, call in missing.items()
            }
            try:
                while pending:
                    done, pending = wait(pending, POLL_SECONDS, return_when=FIRST_COMPLETED)
                    self._poll()
                    for future in done:
                        future.result()
            finally:
                self._stop.set()
                pool.shutdown(wait=True, cancel_futures=True)

    def _call_and_store(self, key: str, call: Call) -> None:
        reply = self._call(call)
        with self._lock:
            self.usage += read_usage(reply)
            self._check_model(reply)
            self._rows.add([{"key": key, "server": self.address.base, "reply": reply}])

    def _call(self, call: Call) -> Reply:
        """Return the reply; wait and try again after a failure that may pass."""
        body = json.dumps(call.body, ensure_ascii=True).encode()
        waited, attempt = 0.0, 0
        while True:
            self._wait_until_resumed()
            timeout = self._limits.timeout_seconds
            url = self.address.base + call.path
            result = post(url, body, timeout=timeout, name=self.name)
            if not isinstance(result, Failure):
                return _parse_object(result, self.name)
            seconds = result.pause(attempt)
            if waited + seconds > result.patience or self._stop.is_set():
                asked = f" and asks to wait {seconds:g} seconds" if result.retry_after else ""
                raise InputError(f"{self.name}: {result.problem}{asked}; {result.advice}")
            self._hold_calls(seconds, result)
            self._pause(seconds)
            waited, attempt = waited + seconds, attempt + 1

    def _hold_calls(self, seconds: float, failure: Failure) -> None:
        """Let no other call start while the server asks to wait."""
        if not failure.is_busy:
            return
        with self._lock:
            is_new = time.monotonic() >= self._resume_at
            self._resume_at = max(self._resume_at, time.monotonic() + seconds)
        if is_new and seconds >= LONG_PAUSE_SECONDS:
            self._log(f"{self.name}: is busy; waiting {seconds:.0f} seconds")

    def _wait_until_resumed(self) -> None:
        if (seconds := self._resume_at - time.monotonic()) > 0:
            self._pause(seconds)


def _parse_object(reply: bytes, name: str) -> Reply:
    try:
        value = json.loads(reply)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        preview = format_value(reply[:200].decode(errors="replace"), limit=200)
        raise InputError(
            f"{name}: responded with {preview}, which is not a JSON object; give the URL up to and "
            "including /v1"
        )
    return value


def dig(value: object, *path: str | int) -> object:
    """Return the value at a path of keys and indices; None if there is none.

    >>> dig({"choices": [{"message": {"content": "A"}}]}, "choices", 0, "message", "content")
    'A'
    >>> dig({"choices": []}, "choices", 0) is None
    True
    """
    for step in path:
        if isinstance(step, str) and isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, Sequence) and step < len(value):
            value = value[step]
        else:
            return None
    return value
