"""The public functions that take the settings of a command: training methods and measurements.

Their parameters follow from the settings; `functions.pyi`, which type checkers read, is generated
(`make docs`), and a test checks that it is current.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from upbring.api.messages import function_of, to_python
from upbring.api.signatures import (
    Parameter,
    PublicFunction,
    docstring,
    runtime_signature,
    setting_parameters,
)
from upbring.settings.commands.check import CheckSettings
from upbring.settings.commands.collect import CollectSettings
from upbring.settings.commands.demonstrations import BestOfNSettings, TeacherSettings
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.settings.commands.harden import HardenSettings
from upbring.settings.commands.redteam import RedteamSettings
from upbring.settings.commands.score import ScoreSettings
from upbring.settings.constitution import ConstitutionSettings
from upbring.stages.builtin_methods import BUILTIN_METHODS
from upbring.stages.registry import Method, import_object, load_settings

PublicCallable = Callable[..., Any]  # results differ; the stub has the types


@cache
def public_functions() -> Mapping[str, PublicFunction]:
    """Return the functions by name: the built-in methods, then the measurements."""
    found = [*map(training_function, BUILTIN_METHODS), *MEASUREMENTS]
    return {each.name: each for each in found}


CALLBACKS = Parameter(
    "callbacks",
    "Sequence[Callback]",
    default=(),
    has_default=True,
    help="Objects that the run calls with its metrics and samples; see upbring.Callback.",
)
REWARD = Parameter(
    "reward",
    "RewardSource | Sequence[RewardSource] | None",
    default=None,
    has_default=True,
    help="A function of prompt, response and row that returns a number, or a name as in "
    "reward_function; several as a list, each also as a pair with its weight. They are added to "
    "the reward models.",
)
METRICS = Parameter(
    "metrics",
    "MetricSource | Sequence[MetricSource]",
    default=(),
    has_default=True,
    help="Functions of prompt, response and row that return a number, or names as in "
    "metric_function: metrics of the suite custom.",
)


def training_function(method: Method) -> PublicFunction:
    """Return the function of a training method."""
    extra = (REWARD, CALLBACKS) if method.learns_from == "prompts" else (CALLBACKS,)
    return PublicFunction(
        name=function_of(method.name),
        command=method.name,
        summary=method.help,
        description=to_python(method.description),
        positional=("model", method.positional),
        parameters=(*setting_parameters(load_settings(method)), *extra),
        returns="Run",
        implementation="upbring.api.training:train_method",
    )


MEASUREMENTS = (
    PublicFunction(
        name="evaluate",
        command="evaluate",
        summary="Evaluate models; each number has a confidence interval.",
        description="The result prints as a table. A second call generates only what is missing.",
        positional=("models",),
        parameters=(*setting_parameters(EvaluateSettings), METRICS),
        returns="Evaluation",
        implementation="upbring.api.measuring:evaluate_models",
    ),
    PublicFunction(
        name="redteam",
        command="redteam",
        summary="Attack models: harmful requests answered, innocent ones refused.",
        description="Each number is by family of attacks, such as noise/attack_success. The result "
        "prints as a table. A second call generates only what is missing.",
        positional=("model", "harmful", "innocent"),
        parameters=setting_parameters(RedteamSettings),
        returns="Evaluation",
        implementation="upbring.api.attacking:attack_models",
    ),
    PublicFunction(
        name="harden",
        command="harden",
        summary="Train a model on attacks that succeed, until they do not.",
        description="Returns the folder, which is a model for the other functions. Call it again "
        "after a kill: it continues.",
        positional=("model", "harmful", "innocent"),
        parameters=setting_parameters(HardenSettings),
        returns="Path",
        implementation="upbring.api.attacking:harden_model",
    ),
    PublicFunction(
        name="score",
        command="score",
        summary="Score responses with a reward model, or with an ensemble of several.",
        description="Returns a dict per response: row, response, text, score (0 is the mean of "
        "good responses; None if it cannot be scored) and logistic, from 0 to 1.",
        positional=("model", "data"),
        parameters=setting_parameters(ScoreSettings),
        returns="list[dict[str, object]]",
        implementation="upbring.api.measuring:score_responses",
    ),
    PublicFunction(
        name="check",
        command="check",
        summary="Check data before training: format, malformed rows, lengths, loss tokens.",
        description="The result prints as a page; its findings have a level, and those of the "
        "level failure prevent training.",
        positional=("data",),
        parameters=setting_parameters(CheckSettings),
        returns="DataCheck",
        implementation="upbring.api.measuring:check_rows",
    ),
    PublicFunction(
        name="collect",
        command="collect",
        summary="Sample several responses per prompt and have them ranked.",
        description="Returns the file of rankings, for reward_model or dpo; None if people have to "
        "rank first, on the page rank.html in the output folder.",
        positional=("model", "prompts"),
        parameters=setting_parameters(CollectSettings),
        returns="Path | None",
        implementation="upbring.api.feedback:collect_rankings",
    ),
    PublicFunction(
        name="constitution",
        command="constitution",
        summary="Make preferences and demonstrations from written principles.",
        description="Returns the output folder: comparisons.jsonl for dpo or reward_model, "
        "demonstrations.jsonl for sft, and results.json with the figures of the judge.",
        positional=("model", "prompts"),
        parameters=setting_parameters(ConstitutionSettings),
        returns="Path",
        implementation="upbring.api.feedback:make_constitution",
    ),
    PublicFunction(
        name="best_of_n",
        command="best-of-n",
        summary="Make demonstrations: the best of n sampled responses (rejection sampling).",
        description="Returns the file of demonstrations, for sft; results.json in the same folder "
        "has the figures of the judge.",
        positional=("model", "prompts"),
        parameters=setting_parameters(BestOfNSettings),
        returns="Path",
        implementation="upbring.api.feedback:keep_best_of_n",
    ),
    PublicFunction(
        name="teacher",
        command="teacher",
        summary="Make demonstrations: the responses of a larger model or an endpoint.",
        description="Returns the file of demonstrations, for sft.",
        positional=("model", "prompts"),
        parameters=setting_parameters(TeacherSettings),
        returns="Path",
        implementation="upbring.api.feedback:ask_teacher",
    ),
)


def __getattr__(name: str) -> PublicCallable:
    """Return a public function by its name."""
    if name in public_functions():
        return make_callable(public_functions()[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def make_callable(function: PublicFunction) -> PublicCallable:
    """Return the function with its signature and its docstring."""

    def call(*args: object, **kwargs: object) -> object:
        arguments = bind_arguments(function, args, kwargs)
        return import_object(function.implementation)(function.command, arguments)

    call.__name__ = call.__qualname__ = function.name
    call.__module__ = "upbring"
    call.__doc__ = docstring(function)
    call.__signature__ = runtime_signature(function)  # type: ignore[attr-defined]  # as inspect allows
    return call


def bind_arguments(
    function: PublicFunction, args: tuple[object, ...], kwargs: Mapping[str, object]
) -> dict[str, object]:
    """Return the given arguments by name; names of other tools are kept for the settings."""
    if len(args) > len(function.positional):
        raise TypeError(
            f"{function.name}() takes at most {len(function.positional)} arguments without a "
            f"name ({', '.join(function.positional)}), but {len(args)} were given"
        )
    arguments = dict(zip(function.positional, args, strict=False))
    if twice := sorted(arguments.keys() & kwargs.keys()):
        raise TypeError(f"{function.name}() got two values for the argument {twice[0]}")
    return arguments | kwargs
