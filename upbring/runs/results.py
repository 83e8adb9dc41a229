"""The file of evaluation results: one number with its confidence interval per result.

Evaluation writes `results.json`; gates and the report read it. `answers.jsonl` in the same folder
contains every judged answer.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from upbring import durable
from upbring.errors import InputError

FORMAT = 1
REWARD_HEALTH = "reward_health"
JUDGE = "judge"  # the figures of a judge on gold pairs; its "model" is the judge
ABOUT_JUDGES = frozenset({REWARD_HEALTH, JUDGE})  # suites whose "model" is no evaluated one
CONTAMINATION = "contamination"  # by suite, the share of prompts that a model was trained on
RESULTS, ANSWERS = "results.json", "answers.jsonl"
CHANGE_SUFFIX = "_change"  # of a number that is a paired difference from another model

JudgeVerdict = Literal["fit", "use with care", "not fit", "not measured"]


@dataclass(frozen=True, slots=True)
class JudgeQuality:
    """A judge, and what is known about how well it judges."""

    name: str
    verdict: JudgeVerdict = "not measured"
    detail: str = ""  # its accuracy or agreement, or why it is not measured

    @property
    def is_fit(self) -> bool:
        """Whether the judge may certify an improvement: it was not found to be unfit."""
        return self.verdict != "not fit"

    @property
    def text(self) -> str:
        """Who judged, and how good the judge is."""
        return f"judged by {self.name} ({self.verdict}{self.detail and ': '}{self.detail})"


@dataclass(frozen=True, slots=True)
class EvalResult:
    """One number about one model, with its 95 % confidence interval."""

    suite: str  # facts, instructions, refusals, forgetting, memorisation, preference, judge …
    model: str  # its name from the user or the recipe
    name: str  # accuracy, over_refusal, win_rate …
    value: float | None  # None: not measured; `note` gives the reason
    low: float | None = None
    high: float | None = None
    count: int = 0  # number of answers, pairs or tokens
    unit: str = "share"  # share, nats, perplexity, score, tokens …
    is_higher_better: bool | None = None  # None: neither direction is better
    is_synthetic: bool = False  # simulated annotators or synthetic world
    against: str | None = None  # the other model of a comparison
    note: str = ""
    too_few: int | None = None  # the number of independent items, if too few for an interval
    # Who judged; of reward_health: the judge that it is about. None: rules, or the rows themselves.
    judge: JudgeQuality | None = None


@dataclass(frozen=True, slots=True)
class _ResultsFile:
    results: tuple[EvalResult, ...]
    format: int = FORMAT


def find_judge_quality(name: str) -> JudgeQuality:
    """Return the quality of a reward model as a judge, as its run measured it.

    The results lie in the run's folder and in its model folder, which may have been copied alone;
    there the manifest lists them.
    """
    folder = Path(name)
    if not folder.is_dir():
        return JudgeQuality(name, detail="no results on held-out rankings are known")
    folders = [folder / "model", folder, *([folder.parent] if folder.name == "model" else [])]
    found = next((each for each in folders if (each / RESULTS).is_file()), None)
    for result in read_results(found) if found else []:
        if result.suite == REWARD_HEALTH and result.judge is not None:
            return replace(result.judge, name=name)
    detail = (
        f"{found / RESULTS} has no results on held-out rankings; train with held-out rankings"
        if found
        else f"there is no {RESULTS} in the folder; copy it from the run of the reward model"
    )
    return JudgeQuality(name, detail=detail)


def contamination_note(model: str, suite: str, results: Sequence[EvalResult]) -> str:
    """Return how many prompts of a suite a model was trained on; '' if none, or not known."""
    for each in results:
        if (each.suite, each.model, each.name) == (CONTAMINATION, model, suite) and each.value:
            return each.note
    return ""


def list_judges(results: Sequence[EvalResult]) -> list[JudgeQuality]:
    """Return the judges of results about models, each once."""
    judges = [each.judge for each in results if each.judge and each.suite not in ABOUT_JUDGES]
    return list(dict.fromkeys(judges))


_RESULTS_FILE = TypeAdapter(_ResultsFile)


def write_results(folder: Path, results: Sequence[EvalResult]) -> Path:
    """Save results in a folder and return the path of the file."""
    path = folder / RESULTS
    durable.write_json(path, {"format": FORMAT, "results": [asdict(each) for each in results]})
    return path


def read_results(folder: Path) -> list[EvalResult]:
    """Return the results in a folder, or an empty list if it has none."""
    path = folder / RESULTS
    if not path.is_file():
        return []
    durable.verify_file(path)
    try:
        with durable.explain_os_errors(path):
            file = _RESULTS_FILE.validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        location = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(
            f"{path}: {location}: {first['msg']}; use a file that `upbring evaluate` wrote"
        ) from error
    if file.format > FORMAT:
        raise InputError(
            f"{path}: has format {file.format}, but this version of upbring reads formats "
            f"up to {FORMAT}; install a newer version"
        )
    return list(file.results)
