"""What was measured about models: one number with its interval each, as a file that anyone reads.

Evaluation writes these, gates and the report read them. `answers.jsonl` beside them holds every
answer that was judged.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from upbring import durable
from upbring.errors import InputError

FORMAT = 1
RESULTS, ANSWERS = "results.json", "answers.jsonl"


@dataclass(frozen=True, slots=True)
class EvalResult:
    """One number about one model: what, how much, within which bounds (95 %), from how many."""

    suite: str  # facts, instructions, refusals, forgetting, memorisation, preference, reward_health
    model: str  # the name that the user or recipe gave it
    name: str  # of the number: accuracy, over_refusal, win_rate …
    value: float | None  # None: could not be measured, and `note` says why
    low: float | None = None
    high: float | None = None
    count: int = 0  # of answers, pairs or tokens that it is made from
    unit: str = "share"  # share, nats, perplexity, score, tokens …
    is_higher_better: bool | None = None  # None: neither is better
    is_synthetic: bool = False  # judged by simulated annotators or an invented world's truth
    against: str | None = None  # the other model, of a comparison
    note: str = ""


@dataclass(frozen=True, slots=True)
class _ResultsFile:
    results: tuple[EvalResult, ...]
    format: int = FORMAT


_RESULTS_FILE = TypeAdapter(_ResultsFile)


def write_results(folder: Path, results: Sequence[EvalResult]) -> Path:
    """Save results durably in a folder; return the file."""
    path = folder / RESULTS
    durable.write_json(path, {"format": FORMAT, "results": [asdict(each) for each in results]})
    return path


def read_results(folder: Path) -> list[EvalResult]:
    """Return the results of a folder; none if nothing was measured there."""
    path = folder / RESULTS
    if not path.is_file():
        return []
    try:
        with durable.explain_os_errors(path):
            file = _RESULTS_FILE.validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        location = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(
            f"{path}: {location}: {first['msg']}; it must be a file that `upbring evaluate` wrote"
        ) from error
    if file.format > FORMAT:
        raise InputError(
            f"{path}: has format {file.format}, and this upbring reads up to {FORMAT}; "
            "install a newer upbring"
        )
    return list(file.results)
