"""`/metrics`: counters, gauges and histograms in Prometheus' text format."""

import time
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate

from upbring.serve.engine.engine import EngineStats

BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)  # seconds


@dataclass(slots=True)
class Histogram:
    """How many values lie in each interval of `BOUNDS`."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(BOUNDS, value)] += 1
        self.total += value

    def lines(self, name: str) -> Iterator[str]:
        """Yield the histogram's lines."""
        for bound, count in zip((*BOUNDS, "+Inf"), accumulate(self.counts), strict=True):
            yield f'{name}_bucket{{le="{bound}"}} {count}'
        yield f"{name}_sum {self.total:.6f}"
        yield f"{name}_count {sum(self.counts)}"


@dataclass(slots=True)
class ServerMetrics:
    """What the engine does not count: responses by status, and times."""

    started: float = field(default_factory=time.time)
    statuses: dict[int, int] = field(default_factory=dict)
    first_token_seconds: Histogram = field(default_factory=Histogram)
    request_seconds: Histogram = field(default_factory=Histogram)

    def count(self, status: int) -> None:
        """Count a response."""
        self.statuses[status] = self.statuses.get(status, 0) + 1


def format_metrics(metrics: ServerMetrics, stats: EngineStats) -> str:
    """Return all metrics as text."""
    lines: list[str] = []

    def add(name: str, kind: str, help_text: str, values: Iterator[str]) -> None:
        lines.extend([f"# HELP {name} {help_text}", f"# TYPE {name} {kind}", *values])

    def single(name: str, kind: str, help_text: str, value: float) -> None:
        add(name, kind, help_text, iter([f"{name} {value}"]))

    statuses = sorted(metrics.statuses.items())
    add(
        "upbring_http_responses_total",
        "counter",
        "Responses by status.",
        (f'upbring_http_responses_total{{status="{status}"}} {n}' for status, n in statuses),
    )
    single("upbring_requests_total", "counter", "Prompts given to the engine.", stats.requests)
    single("upbring_requests_cancelled_total", "counter", "Prompts cancelled.", stats.cancelled)
    single("upbring_requests_failed_total", "counter", "Prompts that failed.", stats.failed)
    single("upbring_prompt_tokens_total", "counter", "Tokens of prompts.", stats.prompt_tokens)
    single("upbring_cached_tokens_total", "counter", "Of these, cached.", stats.cached_tokens)
    single("upbring_generated_tokens_total", "counter", "Generated tokens.", stats.generated_tokens)
    single("upbring_steps_total", "counter", "Forward passes.", stats.steps)
    single("upbring_step_seconds_total", "counter", "Their seconds.", round(stats.step_seconds, 6))
    single("upbring_running", "gauge", "Samples being generated.", stats.running)
    single("upbring_waiting", "gauge", "Samples that wait.", stats.waiting)
    single("upbring_cache_tokens", "gauge", "Tokens with memory for keys.", stats.cache_tokens)
    for name, help_text, histogram in (
        ("upbring_first_token_seconds", "Time to the first token.", metrics.first_token_seconds),
        ("upbring_request_seconds", "Time to the last token.", metrics.request_seconds),
    ):
        add(name, "histogram", help_text, histogram.lines(name))
    return "\n".join(lines) + "\n"
