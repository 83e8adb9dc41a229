"""lm-evaluation-harness's tasks as a suite: its prompts, its metrics, our models and intervals.

Texts are given as they are, without a chat template, as its published numbers are made. A task's
name, or a YAML file of one's own; its data comes from the hub only where the user lets it. Needs
`pip install "upbring[eval]"`. Left out: tasks that run what a model wrote.
"""

import contextlib
import importlib.util
import io
import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from upbring.errors import InputError, UpbringError, nearest, shown
from upbring.evaluate.answer_cache import Journal
from upbring.evaluate.paired import change
from upbring.evaluate.plain_text import Reader
from upbring.evaluate.to_results import measured
from upbring.maths import statistics
from upbring.maths.statistics import Estimate, Numbers
from upbring.runs.results import Measured

SUITE = "harness"
NUM_SAMPLES = 1000  # of the harness's own bootstrap, for metrics that are no mean
QUANTILE = 1.959964  # of the normal distribution: 95 % lie within
FEWSHOT_SEED = 1234  # the harness's own, so that numbers can be compared
YAML = (".yaml", ".yml")
OFFLINE = (
    "if its data is not on this machine, HF_HUB_OFFLINE=0 before the command lets the hub give it"
)
ALONE = "DISABLE_MULTIPROC"
SHARES = ("acc", "exact_match", "f1", "em", "mc1", "mc2", "pass@")  # metrics between 0 and 1
MISSING = 'suite: harness needs lm-evaluation-harness; run `pip install "upbring[eval]"`'

Results = Mapping[str, Any]


@dataclass(eq=False)
class Harness:
    """The tasks that are asked, at most so many rows of each, and what was found of whom."""

    tasks: tuple[str, ...]
    most: int | None = None
    seed: int = 0
    found: dict[str, Results] = field(default_factory=dict)
    _manager: Any = None

    def measure(self, readers: Sequence[Reader], *, journal: Journal) -> list[Measured]:
        """Return every metric of every task and model, with the changes from the first model."""
        for reader in readers:
            if reader.subject.name not in self.found:
                self.found[reader.subject.name] = self._run(reader, journal)
        names = [reader.subject.name for reader in readers]
        own = {name: self.found[name] for name in names}
        return [number for name in names for number in numbers(name, own[name])] + [
            *changes(own, seed=self.seed)
        ]

    def _run(self, reader: Reader, journal: Journal) -> Results:
        from lm_eval import evaluator  # noqa: PLC0415 -- an extra, and heavy
        from lm_eval.tasks import TaskManager  # noqa: PLC0415 -- as above

        from upbring.evaluate.harness_model import Asked  # noqa: PLC0415 -- as above

        with _quiet():
            self._manager = self._manager or TaskManager()  # which reads thousands of files
            loaded: dict[str, dict[str, Any]] = {"tasks": {}, "groups": {}, "group_map": {}}
            for name in files_of(self.tasks):
                found = _load(self._manager, name)
                for part, own in loaded.items():
                    own.update(found.get(part) or {})
            for task in loaded["tasks"].values():
                if task.get_config("num_fewshot") is None:
                    task.set_config(key="num_fewshot", value=0)
                task.set_fewshot_seed(seed=FEWSHOT_SEED)
            try:
                results: Results = evaluator.evaluate(
                    lm=Asked(reader, journal, suite=SUITE, seed=self.seed),
                    task_dict=loaded,
                    limit=self.most,
                    bootstrap_iters=NUM_SAMPLES,
                )
            except (UpbringError, KeyboardInterrupt):
                raise
            except Exception as error:
                raise InputError(
                    f"tasks: lm-evaluation-harness stopped: {_first_line(error)}; leave out that "
                    "task, or correct its file"
                ) from error
        return results


def _load(manager: Any, name: str) -> Results:  # noqa: ANN401 -- lm_eval tells no types
    """Return a task, or a group with its tasks, or say why there is none."""
    is_file = name.endswith(YAML)
    if not is_file and name not in manager.all_tasks:
        near = nearest(name, manager.all_tasks)
        todo = f"did you mean {near}?" if near else "name one of its tasks, or a YAML file"
        raise InputError(f"tasks: {shown(name)} is no task of lm-evaluation-harness; {todo}")
    try:
        found: Results = manager.load([name])
    except Exception as error:
        todo = "correct the file" if is_file else OFFLINE
        raise InputError(f"tasks: {name} cannot be loaded: {_first_line(error)}; {todo}") from error
    if not found.get("tasks"):
        raise InputError(f"tasks: {name} names no task; write `task:` and what it asks into it")
    return found


def check(tasks: Sequence[str]) -> None:
    """Refuse what cannot be measured here, before anything is loaded."""
    if not tasks:
        raise InputError("tasks: the suite harness needs at least one; write --tasks arc_easy")
    files_of(tasks)
    if importlib.util.find_spec("lm_eval") is None:
        raise InputError(MISSING)


def files_of(tasks: Sequence[str]) -> list[str]:
    """Return tasks by name or absolute path; a folder is all the YAML files in it."""
    found: list[str] = []
    for text in tasks:
        for name in filter(None, (part.strip() for part in text.split(","))):
            path = Path(name)
            is_path = name.endswith(YAML) or "/" in name or path.is_dir()
            if is_path and not path.exists():
                raise InputError(f"tasks: {name} is not there; name a YAML file or a task")
            if path.is_dir():
                inside = sorted(p for p in path.iterdir() if p.name.endswith(YAML))
                if not inside:
                    raise InputError(f"tasks: {name} holds no YAML file; name another folder")
                found += [str(each.absolute()) for each in inside if each.name[0] != "_"]
            else:
                found.append(str(path.absolute()) if is_path else name)
    return list(dict.fromkeys(found))


def numbers(model: str, results: Results) -> Iterator[Measured]:
    """Yield the metrics of every task as numbers, value ± 1.96 standard errors."""
    better = results.get("higher_is_better", {})
    counts = results.get("n-samples", {})
    for task, values in results["results"].items():
        for key, value in values.items():
            metric, comma, filtered = key.partition(",")
            if not comma or metric.endswith("_stderr") or not _is_number(value):
                continue
            error = values.get(f"{metric}_stderr,{filtered}")
            is_better = better.get(task, {}).get(metric)
            kind = _kind(model, task, metric, filtered, is_higher_better=is_better)
            count = int(counts.get(task, {}).get("effective", 0))
            yield measured(
                _between(float(value), error, count, is_share=kind.unit == "share"), kind
            )


def changes(found: Mapping[str, Results], *, seed: int) -> Iterator[Measured]:
    """Yield what each model gained or lost against the first, where metrics are means of items."""
    first, *others = found
    before = {number.name: number for number in numbers(first, found[first])}
    for model in others:
        for number in numbers(model, found[model]):
            mine = _items(found[model], number)
            theirs = _items(found[first], before.get(number.name, number))
            if mine is None or theirs is None or len(mine) != len(theirs):
                continue
            is_truth = bool(np.isin([*mine, *theirs], (0.0, 1.0)).all())
            if is_truth:
                made = statistics.share_difference(mine, theirs)
            else:
                made = statistics.difference(mine, theirs, seed=seed)
            yield change(made, replace(number, note=""), first)


def _items(results: Results, number: Measured) -> Numbers | None:
    """Return a metric's value of each item, if their mean is the metric."""
    task, metric, *filtered = number.name.split("/")
    rows = results.get("samples", {}).get(task, [])
    rows = [r for r in rows if r.get("filter", "none") == (filtered or ["none"])[0]]
    values = [r.get(metric) for r in sorted(rows, key=lambda r: int(r["doc_id"]))]
    if not values or not all(map(_is_number, values)) or number.value is None:
        return None
    items = np.array(values, np.float64)
    return items if math.isclose(items.mean(), number.value, abs_tol=1e-9) else None


def _kind(
    model: str, task: str, metric: str, filtered: str, *, is_higher_better: bool | None
) -> Measured:
    tail = "" if filtered == "none" else f"/{filtered}"
    unit = "share" if metric.startswith(SHARES) else metric if "perplexity" in metric else "score"
    name = f"{task}/{metric}{tail}"
    return Measured(SUITE, model, name, None, unit=unit, is_higher_better=is_higher_better)


def _between(value: float, error: object, count: int, *, is_share: bool) -> Estimate:
    """Return value ± 1.96 standard errors; of a share without any, Wilson's interval."""
    if not _is_number(error):
        return Estimate(value, math.nan, math.nan, count)
    half = QUANTILE * float(str(error))
    if not is_share:
        return Estimate(value, value - half, value + half, count)
    if half == 0:
        return statistics.share(value * count, count)
    return Estimate(value, max(0.0, value - half), min(1.0, value + half), count)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.number))


def _first_line(error: Exception) -> str:
    text = str(error).strip().strip("'\"")
    return shown(text.splitlines()[0] if text else type(error).__name__)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the harness's own log to what went wrong, and its bootstrap to this process."""
    import datasets  # noqa: PLC0415 -- comes with lm_eval
    from lm_eval.api import task  # noqa: PLC0415 -- an extra, and heavy

    loggers = [logging.getLogger(name) for name in ("lm_eval", "datasets")]
    levels = [each.level for each in loggers]
    before, bar = os.environ.get(ALONE), task.tqdm
    os.environ[ALONE] = "1"
    for each in loggers:
        each.setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    task.tqdm = _unseen
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # where it prints what it is doing
            yield
    finally:
        task.tqdm = bar
        datasets.enable_progress_bars()
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)
        if before is None:
            del os.environ[ALONE]


def _unseen(items: Any, **_: object) -> Any:  # noqa: ANN401 -- it stands for tqdm
    return items
