"""An engine on a small model, and requests that wait for their results."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from upbring.model.load import LoadedModel, load
from upbring.serve.engine.engine import Engine
from upbring.serve.engine.forward import make_step_forward
from upbring.serve.engine.kv_pools import KVPools
from upbring.serve.engine.requests import EngineRequest, SampleProgress, TokenSampling
from upbring.serve.engine.scheduler import Limits

GREEDY = TokenSampling(temperature=0.0)
MAX_LENGTH = 200
WAIT_SECONDS = 60


@dataclass(eq=False)
class Job:
    """A submitted request and what was reported about it."""

    request: EngineRequest
    reports: list[SampleProgress] = field(default_factory=list)
    is_done: threading.Event = field(default_factory=threading.Event)
    has_begun: threading.Event = field(default_factory=threading.Event)

    def text(self, index: int = 0) -> str:
        self.wait()
        return "".join(each.text for each in self.reports if each.index == index)

    def tokens(self, index: int = 0) -> list[int]:
        self.wait()
        return [t.token for r in self.reports if r.index == index for t in r.tokens]

    def logprobs(self, index: int = 0) -> list[float]:
        self.wait()
        found = [t.logprob for r in self.reports if r.index == index for t in r.tokens]
        return [each for each in found if each is not None]

    def finish_reason(self, index: int = 0) -> str | None:
        self.wait()
        return next(r.finish_reason for r in self.reports if r.index == index and r.finish_reason)

    def wait(self) -> None:
        assert self.is_done.wait(WAIT_SECONDS), "the engine does not answer"


def make_job(prompt: Sequence[int], *, keys: tuple[int, ...] = (0,), **settings: Any) -> Job:
    left = [len(keys)]
    job: Job

    def on_progress(reports: list[SampleProgress]) -> None:
        job.reports += reports
        job.has_begun.set()
        left[0] -= sum(report.finish_reason is not None for report in reports)
        if left[0] <= 0 or any(report.finish_reason == "error" for report in reports):
            job.is_done.set()

    job = Job(
        EngineRequest(
            prompt,
            keys,
            settings.pop("sampling", GREEDY),
            settings.pop("max_tokens", 20),
            on_progress,
            **settings,
        )
    )
    return job


def load_small(folder: object, *, dtype: torch.dtype = torch.float32) -> LoadedModel:
    return load(str(folder), device=torch.device("cpu"), compute_dtype=dtype, log=lambda _: None)


def make_engine(
    loaded: LoadedModel,
    *,
    adapters: Sequence[str] = (),
    limits: Limits | None = None,
    max_tokens: int = 4096,
    max_length: int = MAX_LENGTH,
) -> Engine:
    step_forward = make_step_forward(loaded.model, loaded.roles, adapters)
    spec = step_forward.spec
    pools = None if spec is None else KVPools(spec, max_tokens=max_tokens, max_length=max_length)
    assert loaded.tokenizer is not None
    return Engine(step_forward, loaded.tokenizer, max_length, pools, limits or Limits())


@contextmanager
def running(engine: Engine) -> Iterator[Engine]:
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()


def run_jobs(engine: Engine, jobs: Sequence[Job]) -> list[Job]:
    for job in jobs:
        engine.submit(job.request)
    for job in jobs:
        job.wait()
    return list(jobs)
