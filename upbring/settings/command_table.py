"""The table of commands: what each is called, whose settings it takes and where it runs.

To add a command is to add one entry. Places are strings, so that reading the table imports nothing.
It stands on this floor because a settings file has one section per command.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Command:
    """One command of the command line and one section of a settings file."""

    name: str
    help: str
    settings: str
    run: str
    example: str
    description: str = ""
    positional: str | None = None
    has_subcommand: bool = False  # another command and its words follow


COMMANDS = (
    Command(
        name="check",
        help="Look at data before a step is taken: format, rows, lengths, what is learned.",
        settings="upbring.settings.commands.check:CheckSettings",
        run="upbring.cli.check:run",
        example="upbring check chat.jsonl --model ./base",
        description="Names each malformed row by file and line. With a model it also renders one "
        "example and shows which of its tokens are learned from.",
        positional="data",
    ),
    Command(
        name="plan",
        help="Tell what a run or a recipe would take, before a weight is read.",
        settings="upbring.settings.commands.plan:PlanSettings",
        run="upbring.cli.plan:run",
        example="upbring plan sft chat.jsonl --model ./base",
        description="Takes the command to plan with its own files and flags, or a recipe: then each "
        "stage is shown, kept or to do, with its time, memory and disk. Reads the rows as the run "
        "will, of the model its configuration alone, and tries two layers for two seconds.",
        positional="do",
        has_subcommand=True,
    ),
    Command(
        name="doctor",
        help="Look whether this machine can train; print a block for a bug report.",
        settings="upbring.settings.commands.doctor:DoctorSettings",
        run="upbring.cli.doctor:run",
        example="upbring doctor",
        description="Measures processor and disk for a few seconds. Asks nothing of the network.",
    ),
    Command(
        name="pretrain",
        help="Learn to continue documents: next-token loss on plain text.",
        settings="upbring.settings.methods.pretrain:PretrainSettings",
        run="upbring.cli.pretrain:run",
        example="upbring pretrain books.txt --model ./base --epochs 1",
        positional="data",
    ),
    Command(
        name="sft",
        help="Learn from demonstrations: next-token loss on what the assistant says.",
        settings="upbring.settings.methods.sft:SftSettings",
        run="upbring.cli.sft:run",
        example="upbring sft chat.jsonl --model ./base --learning-rate 1e-4",
        description="Writes a run folder with the weights, the settings and the learning curve. "
        "Interrupt it at any time; `upbring resume` goes on bit for bit.",
        positional="data",
    ),
    Command(
        name="reward",
        help="Learn to score responses as people rank them: a reward model.",
        settings="upbring.settings.methods.reward_model:RewardSettings",
        run="upbring.cli.reward:run",
        example="upbring reward rankings.jsonl --model runs/sft-1",
        description="Takes pairs and rankings of up to 9 responses, with ties. Says at the end whether "
        "the model is fit to be optimised against, and why not.",
        positional="data",
    ),
    Command(
        name="score",
        help="Score responses with a reward model, or with several as one.",
        settings="upbring.settings.commands.score:ScoreSettings",
        run="upbring.cli.score:run",
        example="upbring score answers.jsonl --model runs/reward-1 --to scores.jsonl",
        description="Takes comparisons, demonstrations and labelled responses, and writes a line of "
        "JSON for each response.",
        positional="data",
    ),
    Command(
        name="dpo",
        help="Learn from comparisons directly: DPO, a reward model's loss on the policy itself.",
        settings="upbring.settings.methods.dpo:DpoSettings",
        run="upbring.cli.dpo:run",
        example="upbring dpo pairs.jsonl --model runs/sft-1",
        description="The reference is the model without its adapter; no second one is in memory. Its "
        "log-probabilities are computed once and kept on disk for later runs.",
        positional="data",
    ),
    Command(
        name="ipo",
        help="Learn from comparisons towards a margin, and no further: IPO.",
        settings="upbring.settings.methods.ipo:IpoSettings",
        run="upbring.cli.ipo:run",
        example="upbring ipo pairs.jsonl --model runs/sft-1",
        positional="data",
    ),
    Command(
        name="kto",
        help="Learn from single responses that somebody called good or bad: KTO.",
        settings="upbring.settings.methods.kto:KtoSettings",
        run="upbring.cli.kto:run",
        example="upbring kto votes.jsonl --model runs/sft-1",
        description="Takes comparisons, too: the best response is good and the worst is bad.",
        positional="data",
    ),
    Command(
        name="orpo",
        help="Learn from comparisons and fine-tune in one stage, without a reference: ORPO.",
        settings="upbring.settings.methods.orpo:OrpoSettings",
        run="upbring.cli.orpo:run",
        example="upbring orpo pairs.jsonl --model ./base",
        positional="data",
    ),
    Command(
        name="simpo",
        help="Learn from comparisons by mean log-probabilities, without a reference: SimPO.",
        settings="upbring.settings.methods.simpo:SimpoSettings",
        run="upbring.cli.simpo:run",
        example="upbring simpo pairs.jsonl --model runs/sft-1",
        positional="data",
    ),
    Command(
        name="ppo",
        help="Learn from rewards of the policy's own responses, with a value for every token.",
        settings="upbring.settings.methods.ppo:PpoSettings",
        run="upbring.cli.ppo:run",
        example="upbring ppo prompts.jsonl --model runs/sft-1 --reward-model runs/reward-1",
        description="Policy, reference, value and reward are roles on one base in memory. Give --judge a "
        "second reward model, and the run can tell whether the first was hacked.",
        positional="prompts",
    ),
    Command(
        name="grpo",
        help="Learn from how much better each response is than others to its prompt: GRPO.",
        settings="upbring.settings.methods.grpo:GrpoSettings",
        run="upbring.cli.grpo:run",
        example="upbring grpo prompts.jsonl --model runs/sft-1 --rule is_json",
        positional="prompts",
    ),
    Command(
        name="rloo",
        help="Learn from rewards of whole responses, against others to the same prompt: RLOO.",
        settings="upbring.settings.methods.rloo:RlooSettings",
        run="upbring.cli.rloo:run",
        example="upbring rloo prompts.jsonl --model runs/sft-1 --reward-model runs/reward-1",
        positional="prompts",
    ),
    Command(
        name="rollouts",
        help="Look at responses of a run token by token: reward, divergence, advantage, value.",
        settings="upbring.settings.commands.rollouts:RolloutsSettings",
        run="upbring.cli.rollouts:run",
        example="upbring rollouts runs/ppo-1",
        positional="run",
    ),
    Command(
        name="run",
        help="Take a whole road: every stage of a recipe, then evaluation, gates and report.",
        settings="upbring.settings.commands.run:RunSettings",
        run="upbring.cli.run:run",
        example="upbring run recipe.yaml",
        description="What is finished is kept, what was stopped goes on: run it again at any time. A "
        "failed gate makes the exit code 6.",
        positional="recipe",
    ),
    Command(
        name="init",
        help="Write a commented recipe for your case, and example data, to begin with.",
        settings="upbring.settings.commands.init:InitSettings",
        run="upbring.cli.init:run",
        example="upbring init --case domain --model ./base --to my-road",
    ),
    Command(
        name="collect",
        help="Let a model answer prompts several times, and have the answers ranked.",
        settings="upbring.settings.commands.collect:CollectSettings",
        run="upbring.cli.collect:run",
        example="upbring collect prompts.jsonl --model runs/sft-1 --by people",
        description="People rank in a page that works offline; its file goes to `upbring reward` or "
        "`upbring dpo`.",
        positional="prompts",
    ),
    Command(
        name="resume",
        help="Go on with an interrupted run as if it had never stopped.",
        settings="upbring.settings.commands.resume:ResumeSettings",
        run="upbring.cli.resume:run",
        example="upbring resume",
        positional="run",
    ),
    Command(
        name="chat",
        help="Talk with a model in the terminal.",
        settings="upbring.settings.commands.chat:ChatSettings",
        run="upbring.cli.chat:run",
        example="upbring chat runs/sft-1 --temperature 0.7",
        positional="model",
    ),
    Command(
        name="evaluate",
        help="Measure models: preference, facts, instructions, refusals, forgetting, memorisation.",
        settings="upbring.settings.commands.evaluate:EvaluateSettings",
        run="upbring.cli.evaluate:run",
        example="upbring evaluate ./base runs/sft-1 --suite facts,refusals --data questions.jsonl",
        description="Each number comes with its interval, each answer is kept. Run again, it asks only "
        "what is missing.",
        positional="models",
    ),
    Command(
        name="export",
        help="Write a model that other tools load as it stands.",
        settings="upbring.settings.commands.export:ExportSettings",
        run="upbring.cli.export:run",
        example="upbring export runs/sft-1 --to ./assistant",
        positional="run",
    ),
    Command(
        name="runs",
        help="List the runs of a folder.",
        settings="upbring.settings.commands.runs:RunsSettings",
        run="upbring.cli.runs:run",
        example="upbring runs",
    ),
    Command(
        name="report",
        help="Write one page that shows what runs did: gates, before and after, curves, samples.",
        settings="upbring.settings.commands.report:ReportSettings",
        run="upbring.cli.report:run",
        example="upbring report runs/sft-1",
        description="Reads folders alone, at any time, also of a run that is at work. The page asks "
        "nobody for anything; report.json beside it holds every number.",
        positional="run",
    ),
    Command(
        name="watch",
        help="Show the report as a live page while runs are at work.",
        settings="upbring.settings.commands.report:WatchSettings",
        run="upbring.cli.watch:run",
        example="upbring watch",
        description="Serves to this machine alone, to whoever has the address that it prints. Ctrl-C "
        "ends it.",
        positional="run",
    ),
    Command(
        name="toyworld",
        help="Write the embedded small world as files: corpus, demonstrations, evaluation sets.",
        settings="upbring.settings.commands.toyworld:ToyworldSettings",
        run="upbring.cli.toyworld:run",
        example="upbring toyworld export ./world",
        description="All people and judgements in it are invented.",
        positional="do",
    ),
    Command(
        name="demo",
        help="See the road in a few minutes, on an embedded small world.",
        settings="upbring.settings.commands.demo:DemoSettings",
        run="upbring.cli.demo:run",
        example="upbring demo",
    ),
)


def commands() -> dict[str, Command]:
    """Return the commands by name, in the order of the table."""
    return {command.name: command for command in COMMANDS}


def import_object(path: str) -> Any:  # noqa: ANN401 -- a class or a function, as the caller knows
    """Return what a place such as `package.module:name` names."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
