"""What models answered: their scores by model, and where the last one gained or lost most.

A judge's scores stand in rows of the judge's own name; they are joined to the answers that they
speak of, by suite, prompt and response. An answer's score is what a judge gave; where there was no
judge, the mean of what graders said, a better answer being a higher number.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from upbring.report.run_data import Answer, Evidence, Stage
from upbring.runs.results import Measured

SCORES = ("gold", "reward", "score")  # what judges call theirs
WORSE = ("nll", "perplexity")  # lower is better, whatever the suite says
NUM_SIDES = 20

Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Told:
    """An answer with its score."""

    model: str
    response: str
    score: float


@dataclass(frozen=True, slots=True)
class Side:
    """Two models' answers to one prompt; `gain` is by how much the last is better."""

    suite: str
    prompt: str
    before: Told
    after: Told
    between: tuple[Told, ...]

    @property
    def gain(self) -> float:
        """How much better the last answer is."""
        return self.after.score - self.before.score


@dataclass(frozen=True, slots=True)
class Pair:
    """What one stage answered to a fixed prompt, at its first and its last evaluation."""

    prompt: str
    first_step: int
    first: str
    last_step: int
    last: str


def pairs(stage: Stage) -> list[Pair]:
    """Return the first and the last answer of a stage to each of its fixed prompts."""
    said: dict[str, list[tuple[int, str]]] = {}
    for row in stage.samples:
        step, prompt = row.get("step"), row.get("prompt")
        if isinstance(step, int) and isinstance(prompt, str):
            said.setdefault(prompt, []).append((step, str(row.get("response", ""))))
    found = ((prompt, own[0], own[-1]) for prompt, own in said.items())
    return [Pair(p, *first, *last) for p, first, last in found if first[0] < last[0]]


def scores(evidence: Evidence) -> dict[str, list[float]]:
    """Return what the judge gave to the answers of each model; of the first judge that is found."""
    joined = _judged(evidence)
    for name in SCORES:
        found: dict[str, list[float]] = {}
        for answer in evidence.answers:
            value = joined.get(_key(answer), {}).get(name)
            if answer.model in evidence.models and isinstance(value, float):
                found.setdefault(answer.model, []).append(value)
        if found:
            return {model: found[model] for model in evidence.models if model in found}
    return {}


def sides(evidence: Evidence, *, limit: int = NUM_SIDES) -> list[Side]:
    """Return the biggest gains, then the biggest losses, the suites taking turns."""
    found = list(_sides(evidence))
    gains = sorted((s for s in found if s.gain > 0), key=lambda s: (-s.gain, s.suite, s.prompt))
    losses = sorted((s for s in found if s.gain < 0), key=lambda s: (s.gain, s.suite, s.prompt))
    num_losses = min(len(losses), max(limit // 2, limit - len(gains)))
    return [*_by_turns(gains, limit - num_losses), *_by_turns(losses, num_losses)]


def _sides(evidence: Evidence) -> Iterator[Side]:
    """Yield each prompt that the first and the last model answered, where both have a score."""
    if len(evidence.models) < 2:  # noqa: PLR2004 -- two sides
        return
    joined = _judged(evidence)
    wanted = _directions(evidence.results)
    asked: dict[tuple[str, str], dict[str, Told]] = {}
    for answer in evidence.answers:
        score = _score(joined.get(_key(answer), {}), wanted.get(answer.suite, {}))
        if answer.model in evidence.models and answer.response and score is not None:
            told = Told(answer.model, answer.response, score)
            asked.setdefault((answer.suite, answer.prompt), {}).setdefault(answer.model, told)
    first, *middle, last = evidence.models
    for (suite, prompt), said in asked.items():
        if first in said and last in said:
            between = tuple(said[model] for model in middle if model in said)
            yield Side(suite, prompt, said[first], said[last], between)


def _judged(evidence: Evidence) -> dict[Key, dict[str, float | str]]:
    """Return all that was said of each answer, also in rows of a judge's own."""
    found: dict[Key, dict[str, float | str]] = {}
    for answer in evidence.answers:
        found.setdefault(_key(answer), {}).update(answer.verdicts)
    return found


def _key(answer: Answer) -> Key:
    return answer.suite, answer.prompt, answer.response


def _directions(results: Sequence[Measured]) -> dict[str, dict[str, bool]]:
    """Return of each suite's numbers whether more is better; a name may carry a prefix."""
    found: dict[str, dict[str, bool]] = {}
    for each in results:
        if each.is_higher_better is not None and each.against is None:
            name = each.name.rpartition("/")[2]
            found.setdefault(each.suite, {})[name] = each.is_higher_better
    return found


def _score(verdicts: Mapping[str, float | str], wanted: Mapping[str, bool]) -> float | None:
    """Return the judge's score, or else the mean of the graders' verdicts."""
    for name in SCORES:
        value = verdicts.get(name)
        if isinstance(value, float):
            return value
    values = [
        value if wanted.get(name, True) else -value
        for name, value in verdicts.items()
        if isinstance(value, float) and name not in WORSE
    ]
    return fmean(values) if values else None


def _by_turns(sides_: Sequence[Side], limit: int) -> list[Side]:
    """Return the first of each suite, then the second of each, until there are enough."""
    suites: dict[str, list[Side]] = {}
    for side in sides_:
        suites.setdefault(side.suite, []).append(side)
    turns = [
        (place, order, side)
        for order, own in enumerate(suites.values())
        for place, side in enumerate(own)
    ]
    chosen = sorted(turns, key=lambda turn: turn[:2])[:limit]
    return sorted((side for *_, side in chosen), key=lambda side: -abs(side.gain))
