"""All commands: those that do not train are declared here, the registry adds the training methods.

Settings and functions are import strings, so that reading the table does not import them.
"""

from collections.abc import Mapping, Sequence
from functools import cache

from upbring.cli.command import Command
from upbring.cli.runs.commands_of_runs import RUNS_COMMANDS
from upbring.errors import InputError, format_value
from upbring.stages.registry import Method, methods

GROUPS = (
    *("Data", "Training", "Preferences and RL", "Evaluation", "Pipeline"),
    *("Inference and export", "Tools"),
)
TRAIN = "upbring.stages.train_or_resume:train"


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
        name="label",
        group="Data",
        help="Let people rank responses on a page; their votes train models.",
        settings="upbring.settings.commands.label:LabelSettings",
        run="upbring.cli.label:run",
        example="upbring label prompts.jsonl --models runs/sft-1",
        description="Serves the page to this machine only, at the address that it prints, until "
        "Ctrl-C. Run it again, and it continues.",
        positional="do",
        metavar="FILE",
    ),
    Command(
        name="harden",
        group="Preferences and RL",
        help="Train a model on attacks that succeed, until they do not.",
        settings="upbring.settings.commands.harden:HardenSettings",
        run="upbring.cli.attacks.harden:run",
        example="upbring harden runs/sft-1 --harmful harmful.csv --innocent innocent.csv",
        description="Each round attacks, makes pairs (a safe response to what succeeded, a helpful "
        "one to attacked innocent requests), trains and measures. Stops by rule. Run it again "
        "after a kill: it continues.",
        positional="model",
        metavar="MODEL",
    ),
    Command(
        name="constitution",
        group="Data",
        help="Make preferences and demonstrations from written principles (constitutional AI).",
        settings="upbring.settings.constitution:ConstitutionSettings",
        run="upbring.cli.feedback.constitution:run",
        example="upbring constitution prompts.jsonl --model runs/sft-1 --judge runs/reward-1",
        description="Samples responses, lets the model critique and revise them, and lets a judge "
        "compare them; the soft labels go to `upbring dpo` or `upbring reward`. The judge is "
        "measured first, and rejected if it is too weak. Nothing is paid for twice.",
        positional="prompts",
    ),
    Command(
        name="best-of-n",
        group="Data",
        help="Make demonstrations: the best of n sampled responses (rejection sampling).",
        settings="upbring.settings.commands.demonstrations:BestOfNSettings",
        run="upbring.cli.feedback.demonstrations:run_best_of_n",
        example="upbring best-of-n prompts.jsonl --model runs/sft-1 --judge runs/reward-1",
        description="The judge is measured first, and rejected if it is too weak. A second run "
        "samples and asks nothing again.",
        positional="prompts",
    ),
    Command(
        name="teacher",
        group="Data",
        help="Make demonstrations: the responses of a larger model or an endpoint.",
        settings="upbring.settings.commands.demonstrations:TeacherSettings",
        run="upbring.cli.feedback.demonstrations:run_teacher",
        example="upbring teacher prompts.jsonl --model http://localhost:8000/v1#large",
        description="What it may cost is shown before the first call. Nothing is paid for twice.",
        positional="prompts",
    ),
    Command(
        name="label-export",
        group="Data",
        help="Write the votes of `upbring label` as training data.",
        settings="upbring.settings.commands.label_votes:LabelExportSettings",
        run="upbring.cli.labeling.label_export:run",
        example="upbring label-export labels --method dpo --to pairs.jsonl",
        description="Also `upbring label export`. The same votes give the same bytes.",
        positional="labels",
        metavar="FOLDER",
    ),
    Command(
        name="label-select",
        group="Data",
        help="Choose which items of `upbring label` people rank first.",
        settings="upbring.settings.commands.label_votes:LabelSelectSettings",
        run="upbring.cli.labeling.label_select:run",
        example="upbring label-select labels --select uncertain "
        "--reward-models runs/reward-1,runs/reward-2",
        description="Also `upbring label select`. Run it while the page is not served.",
        positional="labels",
        metavar="FOLDER",
    ),
    Command(
        name="label-import",
        group="Data",
        help="Read votes of Argilla, Label Studio, Potato, Chatbot Arena or annotated-pairs files.",
        settings="upbring.settings.commands.label_votes:LabelImportSettings",
        run="upbring.cli.labeling.label_import:run",
        example="upbring label-import arena.jsonl --to labels",
        description="Also `upbring label import`. A vote that is there already is not added again.",
        positional="data",
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
        name="redteam",
        group="Evaluation",
        help="Attack models: how often harmful requests are answered, and innocent ones refused.",
        settings="upbring.settings.commands.redteam:RedteamSettings",
        run="upbring.cli.attacks.redteam:run",
        example="upbring redteam runs/sft-1 --harmful harmful.csv --innocent innocent.csv",
        description="Each number is by family of attacks. A family that the model does not "
        "understand on innocent requests reads so, and is not counted as resisted. A second run "
        "generates only what is missing.",
        positional="model",
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
        name="serve",
        group="Inference and export",
        help="Serve a model to OpenAI-compatible clients, with a chat page.",
        settings="upbring.settings.commands.serve:ServeSettings",
        run="upbring.serve.serve_command:run",
        example="upbring serve runs/sft-1 --adapter polite=runs/dpo-1",
        description="Serves to this machine only, unless --host says otherwise. Ctrl-C stops it.",
        positional="model",
    ),
    Command(
        name="export",
        group="Inference and export",
        help="Write a model that transformers, peft and vLLM load unchanged.",
        settings="upbring.settings.commands.export:ExportSettings",
        run="upbring.cli.model_files.export:run",
        example="upbring export runs/sft-1 --to ./assistant",
        positional="run",
    ),
    Command(
        name="import",
        group="Inference and export",
        help="Convert a GGUF file, of llama.cpp or Ollama, to a model that can be trained.",
        settings="upbring.settings.commands.export:ImportSettings",
        run="upbring.cli.model_files.import_gguf:run",
        example="upbring import model.gguf --to ./base",
        positional="file",
    ),
    *RUNS_COMMANDS,
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

# Stages of a recipe that are no commands.
RECIPE_STAGES = (
    Command(
        name="collect",
        group="Pipeline",
        help="In a recipe only: sample several responses per prompt and have them ranked.",
        settings="upbring.settings.commands.collect:CollectSettings",
        run="",
        example="collect: {model: sft, prompts: prompts.jsonl, by: people}",
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


def split_command(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return the name of the command and its arguments; a name may be two words.

    >>> split_command(["label", "export", "labels"]), split_command(["label", "export.jsonl"])
    (('label-export', ['labels']), ('label', ['export.jsonl']))
    """
    two_words = "-".join(words[:2])
    if len(words) > 1 and two_words in commands():
        return two_words, [*words[2:]]
    return words[0].replace("_", "-"), [*words[1:]]


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
