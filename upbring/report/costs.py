"""What each stage cost: time, tokens, memory, and which share of the weights learned."""

from dataclasses import dataclass
from datetime import datetime

from upbring.durable import JSON
from upbring.report.run_data import Evidence, Stage

PEAKS = ("peak_memory_bytes", "memory_bytes", "peak_memory")  # names in metrics
LEARNED, WEIGHTS = "learned_weights", "weights"  # names in environment.json, where a stage tells


@dataclass(frozen=True, slots=True)
class Cost:
    """What one stage took."""

    stage: str
    verb: str
    status: str
    steps: int
    planned: int | None
    seconds: float  # of its steps
    wall_seconds: float | None  # from beginning to end, pauses and evaluations included
    tokens: int
    peak_bytes: float | None
    learned: int | None
    weights: int | None

    @property
    def tokens_a_second(self) -> float | None:
        """How fast its steps were."""
        return self.tokens / self.seconds if self.seconds > 0 else None

    @property
    def share(self) -> float | None:
        """Which share of the base's weights learned."""
        return self.learned / self.weights if self.learned and self.weights else None


def costs(evidence: Evidence) -> list[Cost]:
    """Return what each stage that learns took."""
    return [_cost(stage) for stage in evidence.runs]


def _cost(stage: Stage) -> Cost:
    steps = [record for record in stage.records if record.kind == "train"]
    peaks = [r.values[name] for r in stage.records for name in PEAKS if name in r.values]
    told = _whole(stage.environment.get("peak_memory_bytes"))
    return Cost(
        stage.name,
        stage.verb,
        stage.status,
        steps[-1].step if steps else 0,
        stage.steps,
        sum(record.values.get("seconds", 0.0) for record in steps),
        _wall(stage),
        round(sum(record.values.get("tokens", 0.0) for record in steps)),
        max(peaks) if peaks else told,
        _whole(stage.environment.get(LEARNED)) or stage.num_learned,
        _whole(stage.environment.get(WEIGHTS)) or stage.num_weights,
    )


def _wall(stage: Stage) -> float | None:
    if stage.began is None or stage.finished is None:
        return None
    try:
        began, finished = (datetime.fromisoformat(each) for each in (stage.began, stage.finished))
        return (finished - began).total_seconds()
    except (ValueError, TypeError):
        return None


def _whole(value: JSON) -> int | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(float(str(value))) if is_number else None
