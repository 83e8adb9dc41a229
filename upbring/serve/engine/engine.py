"""The thread that generates for all requests. Other threads submit requests and cancel them."""

import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from upbring.data.chat.tokenizer import Tokenizer
from upbring.errors import UpbringError
from upbring.serve.engine.forward import StepForward
from upbring.serve.engine.kv_pools import KVPools
from upbring.serve.engine.requests import EngineRequest, SampleProgress
from upbring.serve.engine.scheduler import Limits, Scheduler
from upbring.serve.engine.sequence import make_sequences
from upbring.serve.engine.steps import run_step

ResultT = TypeVar("ResultT")


class QueueFullError(UpbringError):
    """More requests wait than the limit allows."""


@dataclass(slots=True)
class EngineStats:
    """Counts since the start, and what is going on now."""

    requests: int = 0
    cancelled: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    generated_tokens: int = 0
    steps: int = 0
    step_seconds: float = 0.0
    running: int = 0
    waiting: int = 0
    cache_tokens: int = 0


@dataclass(eq=False)
class Engine:
    """A model that generates for many requests at once; `start` and `stop` it."""

    step_forward: StepForward
    tokenizer: Tokenizer
    max_length: int  # tokens of a prompt with its response
    pools: KVPools | None = None
    limits: Limits = field(default_factory=Limits)
    threads: int = 1
    stats: EngineStats = field(default_factory=EngineStats)

    def __post_init__(self) -> None:
        self._scheduler = Scheduler(self.limits, self.pools)
        self._inbox: deque[EngineRequest] = deque()
        self._jobs: deque[Callable[[], None]] = deque()
        self._requests: dict[int, EngineRequest] = {}  # unfinished, by id()
        self._unfinished: dict[int, int] = {}  # samples of each
        self._wake = threading.Condition()
        self._is_stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="upbring-engine", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop after the current step; unfinished requests end with an error."""
        with self._wake:
            self._is_stopping = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()

    def submit(self, request: EngineRequest) -> None:
        """Queue a request; raise a QueueFullError if too many wait."""
        self.submit_all([request])

    def submit_all(self, requests: Sequence[EngineRequest]) -> None:
        """Queue all of these requests, or none."""
        samples = sum(len(request.keys) for request in requests)
        with self._wake:
            waiting = self.num_waiting
            if waiting and waiting + samples > self.limits.max_queue:
                raise QueueFullError(
                    f"{waiting} requests are waiting, of at most {self.limits.max_queue}; "
                    "retry later"
                )
            self._inbox.extend(requests)
            self.stats.requests += len(requests)
            self._wake.notify()

    def cancel(self, request: EngineRequest) -> None:
        """Stop generating for a request, before the next token."""
        request.is_cancelled = True
        with self._wake:
            self._wake.notify()

    def call(self, function: Callable[[], ResultT]) -> "Future[ResultT]":
        """Call a function in the engine's thread, between two steps."""
        future: Future[ResultT] = Future()

        def run() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except BaseException as error:  # noqa: BLE001 -- belongs to the caller
                    future.set_exception(error)

        with self._wake:
            self._jobs.append(run)
            self._wake.notify()
        return future

    @property
    def num_waiting(self) -> int:
        """The samples that have not joined yet."""
        return len(self._scheduler.waiting) + sum(len(each.keys) for each in tuple(self._inbox))

    def _run(self) -> None:
        torch.set_num_threads(self.threads)
        while self._take_work():
            try:
                self._step()
            except BaseException as error:  # noqa: BLE001 -- the server goes on
                self._fail_all(error)

    def _take_work(self) -> bool:
        """Wait for work and take it; return False at the end."""
        with self._wake:
            scheduler = self._scheduler
            while not (self._inbox or self._jobs or scheduler.waiting or scheduler.running):
                if self._is_stopping:
                    return False
                self._wake.wait()
            if self._is_stopping:
                self._finish_with_error(tuple(self._requests.values()), "the server is stopping")
                return False
            new, jobs = tuple(self._inbox), tuple(self._jobs)
            self._inbox.clear()
            self._jobs.clear()
            for request in new:
                if not request.is_cancelled:
                    self._requests[id(request)] = request
                    self._unfinished[id(request)] = len(request.keys)
                    scheduler.waiting.extend(make_sequences(request, self.tokenizer))
        for job in jobs:
            job()
        return True

    def _step(self) -> None:
        cancelled = [request for request in self._requests.values() if request.is_cancelled]
        if cancelled:
            self.stats.cancelled += len(cancelled)
            self._forget(cancelled)
        began = time.perf_counter()
        result = run_step(self._scheduler, self.step_forward)
        stats = self.stats
        stats.steps += bool(result.num_computed)
        stats.step_seconds += time.perf_counter() - began
        stats.generated_tokens += result.num_generated
        for request, progress in result.reports.values():
            self._report(request, progress)
        stats.running, stats.waiting = len(self._scheduler.running), self.num_waiting
        stats.cache_tokens = 0 if self.pools is None else self.pools.num_tokens

    def _report(self, request: EngineRequest, progress: list[SampleProgress]) -> None:
        """Report progress of a request; forget it when all samples are finished."""
        self._unfinished[id(request)] -= sum(each.finish_reason is not None for each in progress)
        if not self._unfinished[id(request)]:
            self.stats.prompt_tokens += len(request.prompt)
            self.stats.cached_tokens += request.num_cached
            self._forget([request])
        request.on_progress(progress)

    def _forget(self, requests: Sequence[EngineRequest]) -> None:
        ids = {id(request) for request in requests}
        scheduler = self._scheduler
        scheduler.remove(
            {id(s) for s in (*scheduler.running, *scheduler.waiting) if id(s.request) in ids}
        )
        for each in ids:
            del self._requests[each], self._unfinished[each]

    def _fail_all(self, error: BaseException) -> None:
        """End all requests after an unexpected error, and begin with an empty cache."""
        traceback.print_exception(error, file=sys.stderr)
        self.stats.failed += len(self._requests)
        self._finish_with_error(tuple(self._requests.values()), f"{type(error).__name__}: {error}")
        if self.pools is not None:
            self.pools.clear()

    def _finish_with_error(self, requests: Sequence[EngineRequest], message: str) -> None:
        self._forget(requests)
        for request in requests:
            request.error = message
            request.on_progress([SampleProgress(0, "", (), 0, "error")])
