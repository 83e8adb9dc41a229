"""All commands: those that do not train are declared here, the registry adds the training methods.

Settings and functions are import strings, so that reading the table does not import them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from upbring.errors import InputError, format_value
from upbring.stages.registry import Method, import_object, methods

GROUPS = (
    *("Data", "Training", "Preferences and RL", "Evaluation", "Pipeline"),
    *("Inference and export", "Tools"),
)
TRAIN = "upbring.stages.train_or_resume:train"


@dataclass(frozen=True)
class Command:
    """One command of the command line and one section of a settings file."""

    name: str
    group: str
    help: str
    settings: str  # "module:Class"
    run: str  # "module:function", called with the resolved settings
    example: str
    description: str = ""
    positional: str | None = None  # the setting that the positional arguments fill
    metavar: str = ""  # of the positional arguments; default: the setting's name
    has_subcommand: bool = False  # the first argument is a command with its own arguments
    is_method: bool = False  # a training method: `run` takes the method's name first

    def load_settings(self) -> Any:  # noqa: ANN401 -- a class of settings, each command's own
        """Return the class of the command's settings."""
        return import_object(self.settings)


OTHER_COMMANDS = (
    Command(
        name="check",
        group="Data",
        help="Check data before training: format, malformed rows, lengths, loss tokens.",
        settings="upbring.settings.commands.check:CheckSettings",
        run="upbring.cli.check:run",
        example="upbring check chat.jsonl --model ./base",
        description="Names each malformed row by file and line. With a model it also renders one "
        "example and shows which of its tokens have a loss.",
        positional="data",
        metavar="FILE",
    ),
    Command(
        name="collect",
        group="Data",
        help="Sample several responses per prompt and have them ranked.",
        settings="upbring.settings.commands.collect:CollectSettings",
        run="upbring.cli.collect:run",
        example="upbring collect prompts.jsonl --model runs/sft-1 --by people",
        description="People rank on a page that works offline; its file goes to `upbring reward` "
        "or `upbring dpo`.",
        positional="prompts",
        metavar="FILE",
    ),
    Command(
        name="toyworld",
        group="Data",
        help="Write the bundled toy dataset: corpus, demonstrations, rankings, evaluation sets.",
        settings="upbring.settings.commands.toyworld:ToyworldSettings",
        run="upbring.cli.toyworld:run",
        example="upbring toyworld export ./world",
        description="All people and facts in it are invented.",
        positional="do",
        metavar="export FOLDER",
    ),
    Command(
        name="evaluate",
        group="Evaluation",
        help="Evaluate models: preference, facts, instructions, refusals, forgetting, extraction.",
        settings="upbring.settings.commands.evaluate:EvaluateSettings",
        run="upbring.cli.evaluate:run",
        example="upbring evaluate ./base runs/sft-1 --suite facts,refusals --data questions.jsonl",
        description="Each number has a confidence interval, and each response is kept. A second "
        "run generates only what is missing.",
        positional="models",
        metavar="MODEL",
    ),
    Command(
        name="score",
        group="Evaluation",
        help="Score responses with a reward model, or with an ensemble of several.",
        settings="upbring.settings.commands.score:ScoreSettings",
        run="upbring.cli.score:run",
        example="upbring score answers.jsonl --model runs/reward-1 --to scores.jsonl",
        description="Takes comparisons, demonstrations and labeled responses, and writes one line "
        "of JSON per response.",
        positional="data",
        metavar="FILE",
    ),
    Command(
        name="rollouts",
        group="Evaluation",
        help="Show sampled responses of an RL run token by token: reward, KL, advantage, value.",
        settings="upbring.settings.commands.rollouts:RolloutsSettings",
        run="upbring.cli.rollouts:run",
        example="upbring rollouts runs/ppo-1",
        positional="run",
    ),
    Command(
        name="report",
        group="Evaluation",
        help="Write one page about runs: gates, before and after, curves, samples, costs.",
        settings="upbring.settings.commands.report:ReportSettings",
        run="upbring.cli.report:run",
        example="upbring report runs/sft-1",
        description="Reads only the folders, also of a run that is still training. The page loads "
        "nothing from the network; report.json in the same folder has every number.",
        positional="run",
        metavar="FOLDER",
    ),
    Command(
        name="watch",
        group="Evaluation",
        help="Serve the same report as a live page while runs are training.",
        settings="upbring.settings.commands.report:WatchSettings",
        run="upbring.cli.watch:run",
        example="upbring watch",
        description="Serves to this machine only, at the address that it prints. Ctrl-C stops it.",
        positional="run",
    ),
    Command(
        name="init",
        group="Pipeline",
        help="Write a commented recipe for your case, with example data.",
        settings="upbring.settings.commands.init:InitSettings",
        run="upbring.cli.init:run",
        example="upbring init --case domain --model ./base --to my-recipe",
    ),
    Command(
        name="plan",
        group="Pipeline",
        help="Estimate memory, time and disk of a run or a recipe, without loading weights.",
        settings="upbring.settings.commands.plan:PlanSettings",
        run="upbring.cli.plan:run",
        example="upbring plan sft chat.jsonl --model ./base",
        description="Takes a training command with its own files and flags, or a recipe: then it "
        "lists the stages that are finished and those to do. Reads the rows as the run will, and "
        "only the configuration of the model, and times two layers for two seconds.",
        positional="do",
        metavar="COMMAND",
        has_subcommand=True,
    ),
    Command(
        name="run",
        group="Pipeline",
        help="Run a pipeline from a recipe: all stages, evaluation, gates, report.",
        settings="upbring.settings.commands.run:RunSettings",
        run="upbring.cli.run:run",
        example="upbring run recipe.yaml",
        description="Finished stages are kept and interrupted ones resumed: run it again at any "
        "time. The exit code is 6 if a gate fails.",
        positional="recipe",
    ),
    Command(
        name="resume",
        group="Pipeline",
        help="Resume an interrupted run; the result is bit-identical to an uninterrupted one.",
        settings="upbring.settings.commands.resume:ResumeSettings",
        run="upbring.cli.resume:run",
        example="upbring resume",
        positional="run",
    ),
    Command(
        name="demo",
        group="Pipeline",
        help="Run the full pipeline on the bundled toy dataset, in a few minutes.",
        settings="upbring.settings.commands.demo:DemoSettings",
        run="upbring.cli.demo:run",
        example="upbring demo",
        description="SFT, reward model, PPO, DPO, evaluation, gates and report, on a CPU, offline.",
    ),
    Command(
        name="chat",
        group="Inference and export",
        help="Chat with a model in the terminal.",
        settings="upbring.settings.commands.chat:ChatSettings",
        run="upbring.cli.chat:run",
        example="upbring chat runs/sft-1 --temperature 0.7",
        positional="model",
    ),
    Command(
        name="export",
        group="Inference and export",
        help="Write a model that transformers, peft and vLLM load unchanged.",
        settings="upbring.settings.commands.export:ExportSettings",
        run="upbring.cli.export:run",
        example="upbring export runs/sft-1 --to ./assistant",
        positional="run",
    ),
    Command(
        name="runs",
        group="Tools",
        help="List the runs in a folder.",
        settings="upbring.settings.commands.runs:RunsSettings",
        run="upbring.cli.runs:run",
        example="upbring runs",
        positional="runs",
        metavar="FOLDER",
    ),
    Command(
        name="doctor",
        group="Tools",
        help="Check whether this machine can train, and print a block for a bug report.",
        settings="upbring.settings.commands.doctor:DoctorSettings",
        run="upbring.cli.doctor:run",
        example="upbring doctor",
        description="Measures processor and disk for a few seconds. Does not use the network.",
    ),
)


@cache
def commands() -> Mapping[str, Command]:
    """Return the commands by name, ordered by group."""
    found = {each.name: each for each in OTHER_COMMANDS}
    for method in methods().values():
        if method.name in found:
            raise InputError(
                f"method {format_value(method.name)}: has the name of a command; uninstall the "
                "package that adds it"
            )
        found[method.name] = _training_command(method)
    return dict(sorted(found.items(), key=lambda item: GROUPS.index(item[1].group)))


def _training_command(method: Method) -> Command:
    is_first_stage = method.learns_from in {"documents", "demonstrations"}
    return Command(
        name=method.name,
        group="Training" if is_first_stage else "Preferences and RL",
        help=method.help,
        settings=method.settings,
        run=TRAIN,
        example=method.example,
        description=method.description,
        positional=method.positional,
        metavar="FILE",
        is_method=True,
    )
