"""Measurements from Python: evaluation, scores of a reward model, checks of data."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from upbring import durable
from upbring.api.arguments import resolve_arguments
from upbring.api.calls import reads_files, runs_models
from upbring.api.data_check import DataCheck
from upbring.api.evaluation import Evaluation, make_evaluation
from upbring.api.notebook import make_console, make_log
from upbring.errors import InputError
from upbring.settings.commands.check import CheckSettings
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.settings.commands.score import ScoreSettings
from upbring.stages.planning.check_files import check_files


@runs_models
def evaluate_models(command: str, arguments: Mapping[str, object]) -> Evaluation:
    """Evaluate models."""
    from upbring.stages.evaluation.evaluate import evaluate  # noqa: PLC0415 -- torch
    from upbring.stages.evaluation.human_judge import votes_waiting_text  # noqa: PLC0415 -- torch
    from upbring.stages.evaluation.reward_judge import make_reward_scorer  # noqa: PLC0415 -- torch

    given = {name: value for name, value in arguments.items() if name != "metrics"}
    settings = resolve_arguments(EvaluateSettings, command=command, arguments=given).settings
    metrics: Any = arguments.get("metrics") or ()
    log = make_log()
    results = evaluate(
        settings,
        log=log,
        make_scorer=partial(make_reward_scorer, settings),
        metrics=metrics if isinstance(metrics, list | tuple) else [metrics],
    )
    if (waiting_text := votes_waiting_text(settings)) is not None:
        log(waiting_text)
    return make_evaluation(results, settings.models, settings.to)


@runs_models
def score_responses(command: str, arguments: Mapping[str, object]) -> list[dict[str, object]]:
    """Score responses, and write the rows to the file `to`, if it is given."""
    from upbring.stages.evaluation.score_file import format_line, score_files  # noqa: PLC0415 -- torch
    from upbring.train.work_progress import make_tracker  # noqa: PLC0415 -- torch

    settings = resolve_arguments(ScoreSettings, command=command, arguments=arguments).settings
    if settings.to is not None and settings.to.exists():
        raise InputError(f"{settings.to}: exists already; choose another file as to")
    console = make_console()
    rows, summary = score_files(settings, log=make_log(), track=make_tracker(console))
    if settings.to is not None:
        with durable.explain_os_errors(settings.to):
            settings.to.parent.mkdir(parents=True, exist_ok=True)
        durable.write_text(settings.to, "".join(map(format_line, rows)))
    for line in summary.format_lines():
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return rows


@reads_files
def check_rows(command: str, arguments: Mapping[str, object]) -> DataCheck:
    """Check data."""
    settings = resolve_arguments(CheckSettings, command=command, arguments=arguments).settings
    return DataCheck(check_files(settings, log=lambda _: None))
