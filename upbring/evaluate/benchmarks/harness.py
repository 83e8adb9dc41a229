"""The harness suite: tasks of lm-evaluation-harness on upbring's models.

Prompts are plain text without a chat template, as for published results. A task is given by its
name or by a YAML file; its data is downloaded from the Hugging Face Hub only if the user allows it.
Needs `pip install "upbring[eval]"`. Excluded: tasks that execute generated code.
"""

import contextlib
import importlib.util
import io
import itertools
import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from upbring.errors import InputError, UpbringError, format_value, nearest
from upbring.evaluate.answer_cache import AnswerCache
from upbring.evaluate.benchmarks.task_files import reject_task_code
from upbring.evaluate.paired import change_result
from upbring.evaluate.plain_text import BenchmarkModel
from upbring.evaluate.to_results import to_result
from upbring.maths import intervals, statistics
from upbring.maths.statistics import Estimate, FloatArray
from upbring.maths.too_few import MIN_ITEMS
from upbring.runs.results import EvalResult

SUITE = "harness"
NUM_BOOTSTRAP_SAMPLES = 1000  # for the harness's bootstrap of metrics that are not means
FEWSHOT_SEED = 1234  # the harness's default, for comparable results
YAML_SUFFIXES = (".yaml", ".yml")
OFFLINE_HINT = (
    "if its data is not on this machine, set HF_HUB_OFFLINE=0 to download it from the Hub"
)
SINGLE_PROCESS_VARIABLE = "DISABLE_MULTIPROC"
SHARE_METRICS = ("acc", "exact_match", "f1", "em", "mc1", "mc2", "pass@")  # metrics between 0 and 1
MISSING_EXTRA = 'suite: harness needs lm-evaluation-harness; run `pip install "upbring[eval]"`'

Results = Mapping[str, Any]


@dataclass(eq=False)
class Harness:
    """The tasks, at most `max_rows` rows of each, and the results by model name."""

    tasks: tuple[str, ...]
    max_rows: int | None = None
    seed: int = 0
    results: dict[str, Results] = field(default_factory=dict)
    _task_manager: Any = None

    def measure(self, models: Sequence[BenchmarkModel], *, cache: AnswerCache) -> list[EvalResult]:
        """Return every metric of every task and model, and the changes from the first model."""
        for model in models:
            if model.source.name not in self.results:
                self.results[model.source.name] = self._run(model, cache)
        names = [model.source.name for model in models]
        results = {name: self.results[name] for name in names}
        return [number for name in names for number in task_results(name, results[name])] + [
            *change_results(results)
        ]

    def _run(self, model: BenchmarkModel, cache: AnswerCache) -> Results:
        from lm_eval import evaluator  # noqa: PLC0415 -- optional and slow to import
        from lm_eval.tasks import TaskManager  # noqa: PLC0415 -- as above

        from upbring.evaluate.benchmarks.harness_model import HarnessModel  # noqa: PLC0415 -- as above

        with _quiet_harness():
            # Created once: it reads thousands of files.
            self._task_manager = self._task_manager or TaskManager()
            task_dict: dict[str, dict[str, Any]] = {"tasks": {}, "groups": {}, "group_map": {}}
            for name in resolve_tasks(self.tasks):
                loaded_task = _load_task(self._task_manager, name)
                for part, entries in task_dict.items():
                    entries.update(loaded_task.get(part) or {})
            for task in task_dict["tasks"].values():
                if task.get_config("num_fewshot") is None:
                    task.set_config(key="num_fewshot", value=0)
                task.set_fewshot_seed(seed=FEWSHOT_SEED)
            try:
                results: Results = evaluator.evaluate(
                    lm=HarnessModel(model, cache, suite=SUITE, seed=self.seed),
                    task_dict=task_dict,
                    limit=self.max_rows,
                    bootstrap_iters=NUM_BOOTSTRAP_SAMPLES,
                )
            except (UpbringError, KeyboardInterrupt):
                raise
            except Exception as error:
                raise InputError(
                    f"tasks: lm-evaluation-harness failed: {_first_line(error)}; remove that "
                    "task, or fix its file"
                ) from error
        return results


def _load_task(manager: Any, name: str) -> Results:  # noqa: ANN401 -- lm_eval is untyped
    """Return a task or a group of tasks; raise an InputError if it cannot be loaded."""
    is_file = name.endswith(YAML_SUFFIXES)
    if not is_file and name not in manager.all_tasks:
        suggestion = nearest(name, manager.all_tasks)
        hint = (
            f"did you mean {suggestion}?" if suggestion else "give one of its tasks, or a YAML file"
        )
        raise InputError(
            f"tasks: {format_value(name)} is not a task of lm-evaluation-harness; {hint}"
        )
    try:
        loaded_task: Results = manager.load([name])
    except Exception as error:
        hint = "fix the file" if is_file else OFFLINE_HINT
        raise InputError(f"tasks: {name} cannot be loaded: {_first_line(error)}; {hint}") from error
    if not loaded_task.get("tasks"):
        raise InputError(f"tasks: {name} defines no task; add `task:` and its fields to the file")
    return loaded_task


def check_tasks(tasks: Sequence[str], *, allow_code: bool = False) -> None:
    """Raise an InputError if the tasks cannot be measured, or run code; loads no model."""
    if not tasks:
        raise InputError("tasks: the suite harness needs at least one task; add --tasks arc_easy")
    for name in resolve_tasks(tasks):
        if name.endswith(YAML_SUFFIXES) and not allow_code:
            reject_task_code(Path(name))
    if importlib.util.find_spec("lm_eval") is None:
        raise InputError(MISSING_EXTRA)


def resolve_tasks(tasks: Sequence[str]) -> list[str]:
    """Return task names and absolute paths; a folder stands for all YAML files in it."""
    resolved: list[str] = []
    for text in tasks:
        for name in filter(None, (part.strip() for part in text.split(","))):
            path = Path(name)
            is_path = name.endswith(YAML_SUFFIXES) or "/" in name or path.is_dir()
            if is_path and not path.exists():
                raise InputError(f"tasks: {name} does not exist; give a YAML file or a task")
            if path.is_dir():
                yaml_files = sorted(p for p in path.iterdir() if p.name.endswith(YAML_SUFFIXES))
                if not yaml_files:
                    raise InputError(f"tasks: {name} contains no YAML file; give another folder")
                resolved += [str(each.absolute()) for each in yaml_files if each.name[0] != "_"]
            else:
                resolved.append(str(path.absolute()) if is_path else name)
    return list(dict.fromkeys(resolved))


def task_results(model: str, results: Results) -> Iterator[EvalResult]:
    """Yield every metric of every task; one that is not a mean has ± 1.96 standard errors."""
    higher_is_better = results.get("higher_is_better", {})
    counts = results.get("n-samples", {})
    for task, values in results["results"].items():
        for key, value in values.items():
            metric, comma, filter_name = key.partition(",")
            if not comma or metric.endswith("_stderr") or not _is_number(value):
                continue
            stderr = values.get(f"{metric}_stderr,{filter_name}")
            is_higher_better = higher_is_better.get(task, {}).get(metric)
            template = _result_template(
                model, task, metric, filter_name, is_higher_better=is_higher_better
            )
            count = int(counts.get(task, {}).get("effective", 0))
            items = _item_values(results, replace(template, value=float(value)))
            if items is not None:
                estimate = statistics.mean(items)
            else:
                estimate = _normal_estimate(float(value), stderr, count)
            yield to_result(estimate, template)


def change_results(results_by_model: Mapping[str, Results]) -> Iterator[EvalResult]:
    """Yield each model's paired changes from the earlier ones, for metrics that are means."""
    by_model = {
        model: {result.name: result for result in task_results(model, results)}
        for model, results in results_by_model.items()
    }
    for earlier, later in itertools.combinations(results_by_model, 2):
        for name, result in by_model[later].items():
            values = _item_values(results_by_model[later], result)
            earlier_values = _item_values(
                results_by_model[earlier], by_model[earlier].get(name, result)
            )
            if values is None or earlier_values is None or len(values) != len(earlier_values):
                continue
            estimate = statistics.paired_difference(values, earlier_values)
            yield change_result(estimate, replace(result, note=""), earlier)


def _item_values(results: Results, result: EvalResult) -> FloatArray | None:
    """Return a metric's value by item `[n]`, or None if the metric is not their mean."""
    task, metric, *filter_name = result.name.split("/")
    rows = results.get("samples", {}).get(task, [])
    rows = [r for r in rows if r.get("filter", "none") == (filter_name or ["none"])[0]]
    values = [r.get(metric) for r in sorted(rows, key=lambda r: int(r["doc_id"]))]
    if not values or not all(map(_is_number, values)) or result.value is None:
        return None
    items = np.array(values, np.float64)
    return items if math.isclose(items.mean(), result.value, abs_tol=1e-9) else None


def _result_template(
    model: str, task: str, metric: str, filter_name: str, *, is_higher_better: bool | None
) -> EvalResult:
    suffix = "" if filter_name == "none" else f"/{filter_name}"
    unit = (
        "share"
        if metric.startswith(SHARE_METRICS)
        else metric
        if "perplexity" in metric
        else "score"
    )
    name = f"{task}/{metric}{suffix}"
    return EvalResult(SUITE, model, name, None, unit=unit, is_higher_better=is_higher_better)


def _normal_estimate(value: float, stderr: object, count: int) -> Estimate:
    """Return value ± 1.96 standard errors."""
    if count < MIN_ITEMS:
        return Estimate(value, math.nan, math.nan, count, too_few=count)
    if not _is_number(stderr) or float(str(stderr)) == 0:
        return Estimate(value, math.nan, math.nan, count)
    half = intervals.Z * float(str(stderr))
    return Estimate(value, value - half, value + half, count)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.number))


def _first_line(error: Exception) -> str:
    text = str(error).strip().strip("'\"")
    return format_value(text.splitlines()[0] if text else type(error).__name__)


@contextmanager
def _quiet_harness() -> Iterator[None]:
    """Silence the harness except for errors, and keep its bootstrap in this process."""
    import datasets  # noqa: PLC0415 -- comes with lm_eval
    from lm_eval.api import task  # noqa: PLC0415 -- optional and slow to import

    loggers = [logging.getLogger(name) for name in ("lm_eval", "datasets")]
    levels = [each.level for each in loggers]
    previous, progress_bar = os.environ.get(SINGLE_PROCESS_VARIABLE), task.tqdm
    os.environ[SINGLE_PROCESS_VARIABLE] = "1"
    for each in loggers:
        each.setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    task.tqdm = _no_progress_bar
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
            yield
    finally:
        task.tqdm = progress_bar
        datasets.enable_progress_bars()
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)
        if previous is None:
            del os.environ[SINGLE_PROCESS_VARIABLE]


def _no_progress_bar(items: Any, **_: object) -> Any:  # noqa: ANN401 -- replaces tqdm
    return items
