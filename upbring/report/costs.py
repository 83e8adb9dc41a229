"""The cost of each stage: time, tokens, memory, and the share of trainable weights."""

from dataclasses import dataclass
from datetime import datetime

from upbring.durable import JSON
from upbring.report.run_data import Evidence, ReportedStage

# The first of these that a metrics file has.
PEAK_MEMORY_METRICS = ("peak_memory_bytes", "memory_bytes", "peak_memory")
# Optional keys of environment.json.
NUM_TRAINABLE_KEY, NUM_WEIGHTS_KEY = "learned_weights", "weights"


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one stage."""

    stage: str
    command: str
    status: str
    steps: int
    planned_steps: int | None
    seconds: float  # training steps only
    wall_seconds: float | None  # start to end, including pauses and evaluation
    tokens: int
    peak_memory_bytes: float | None
    num_trainable: int | None
    num_weights: int | None

    @property
    def tokens_per_second(self) -> float | None:
        """Training throughput, or None if no time was recorded."""
        return self.tokens / self.seconds if self.seconds > 0 else None

    @property
    def trainable_share(self) -> float | None:
        """Trainable weights divided by the base model's weights."""
        return (
            self.num_trainable / self.num_weights
            if self.num_trainable and self.num_weights
            else None
        )


def costs(evidence: Evidence) -> list[Cost]:
    """Return the cost of each training stage."""
    return [_cost(stage) for stage in evidence.training_stages]


def _cost(stage: ReportedStage) -> Cost:
    steps = [record for record in stage.records if record.kind == "train"]
    peaks = [
        r.values[name] for r in stage.records for name in PEAK_MEMORY_METRICS if name in r.values
    ]
    recorded_peak = _as_int(stage.environment.get("peak_memory_bytes"))
    return Cost(
        stage.name,
        stage.command,
        stage.status,
        steps[-1].step if steps else 0,
        stage.planned_steps,
        sum(record.values.get("seconds", 0.0) for record in steps),
        _wall_seconds(stage),
        round(sum(record.values.get("tokens", 0.0) for record in steps)),
        max(peaks) if peaks else recorded_peak,
        _as_int(stage.environment.get(NUM_TRAINABLE_KEY)) or stage.num_trainable,
        _as_int(stage.environment.get(NUM_WEIGHTS_KEY)) or stage.num_weights,
    )


def _wall_seconds(stage: ReportedStage) -> float | None:
    if stage.started_at is None or stage.finished_at is None:
        return None
    try:
        start, end = (
            datetime.fromisoformat(each) for each in (stage.started_at, stage.finished_at)
        )
        return (end - start).total_seconds()
    except (ValueError, TypeError):
        return None


def _as_int(value: JSON) -> int | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(float(str(value))) if is_number else None
