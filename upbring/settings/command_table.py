"""The table of verbs: what each is called, whose settings it takes and where it runs.

To add a verb is to add one entry. Places are strings, so that reading the table imports nothing.
It stands on this floor because a settings file has one section per verb.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Verb:
    """One verb of the command line and one section of a settings file."""

    name: str
    help: str
    settings: str
    run: str
    example: str
    about: str = ""
    positional: str | None = None
    is_before: bool = False  # another verb and its words follow


VERBS = (
    Verb(
        name="check",
        help="Look at data before a step is taken: format, rows, lengths, what is learned.",
        settings="upbring.settings.commands.check:CheckSettings",
        run="upbring.cli.check:run",
        example="upbring check chat.jsonl --model ./base",
        about="Names each malformed row by file and line. With a model it also renders one "
        "example and shows which of its tokens are learned from.",
        positional="data",
    ),
    Verb(
        name="plan",
        help="Tell what a run or a recipe would take, before a weight is read.",
        settings="upbring.settings.commands.plan:PlanSettings",
        run="upbring.cli.plan:run",
        example="upbring plan sft chat.jsonl --model ./base",
        about="Takes the verb to plan with its own files and flags, or a recipe: then each "
        "stage is shown, kept or to do, with its time, memory and disk. Reads the rows as the run "
        "will, of the model its configuration alone, and tries two layers for two seconds.",
        positional="do",
        is_before=True,
    ),
    Verb(
        name="doctor",
        help="Look whether this machine can train; print a block for a bug report.",
        settings="upbring.settings.commands.doctor:DoctorSettings",
        run="upbring.cli.doctor:run",
        example="upbring doctor",
        about="Measures processor and disk for a few seconds. Asks nothing of the network.",
    ),
    Verb(
        name="pretrain",
        help="Learn to continue documents: next-token loss on plain text.",
        settings="upbring.settings.methods.pretrain:PretrainSettings",
        run="upbring.cli.pretrain:run",
        example="upbring pretrain books.txt --model ./base --epochs 1",
        positional="data",
    ),
    Verb(
        name="sft",
        help="Learn from demonstrations: next-token loss on what the assistant says.",
        settings="upbring.settings.methods.sft:SftSettings",
        run="upbring.cli.sft:run",
        example="upbring sft chat.jsonl --model ./base --learning-rate 1e-4",
        about="Writes a run folder with the weights, the settings and the learning curve. "
        "Interrupt it at any time; `upbring resume` goes on bit for bit.",
        positional="data",
    ),
    Verb(
        name="reward",
        help="Learn to score responses as people rank them: a reward model.",
        settings="upbring.settings.methods.reward_model:RewardSettings",
        run="upbring.cli.reward:run",
        example="upbring reward rankings.jsonl --model runs/sft-1",
        about="Takes pairs and rankings of up to 9 responses, with ties. Says at the end whether "
        "the model is fit to be optimised against, and why not.",
        positional="data",
    ),
    Verb(
        name="score",
        help="Score responses with a reward model, or with several as one.",
        settings="upbring.settings.commands.score:ScoreSettings",
        run="upbring.cli.score:run",
        example="upbring score answers.jsonl --model runs/reward-1 --to scores.jsonl",
        about="Takes comparisons, demonstrations and labelled responses, and writes a line of "
        "JSON for each response.",
        positional="data",
    ),
    Verb(
        name="dpo",
        help="Learn from comparisons directly: DPO, a reward model's loss on the policy itself.",
        settings="upbring.settings.methods.dpo:DpoSettings",
        run="upbring.cli.dpo:run",
        example="upbring dpo pairs.jsonl --model runs/sft-1",
        about="The reference is the model without its adapter; no second one is in memory. Its "
        "log-probabilities are computed once and kept on disk for later runs.",
        positional="data",
    ),
    Verb(
        name="ipo",
        help="Learn from comparisons towards a margin, and no further: IPO.",
        settings="upbring.settings.methods.ipo:IpoSettings",
        run="upbring.cli.ipo:run",
        example="upbring ipo pairs.jsonl --model runs/sft-1",
        positional="data",
    ),
    Verb(
        name="kto",
        help="Learn from single responses that somebody called good or bad: KTO.",
        settings="upbring.settings.methods.kto:KtoSettings",
        run="upbring.cli.kto:run",
        example="upbring kto votes.jsonl --model runs/sft-1",
        about="Takes comparisons, too: the best response is good and the worst is bad.",
        positional="data",
    ),
    Verb(
        name="orpo",
        help="Learn from comparisons and fine-tune in one stage, without a reference: ORPO.",
        settings="upbring.settings.methods.orpo:OrpoSettings",
        run="upbring.cli.orpo:run",
        example="upbring orpo pairs.jsonl --model ./base",
        positional="data",
    ),
    Verb(
        name="simpo",
        help="Learn from comparisons by mean log-probabilities, without a reference: SimPO.",
        settings="upbring.settings.methods.simpo:SimpoSettings",
        run="upbring.cli.simpo:run",
        example="upbring simpo pairs.jsonl --model runs/sft-1",
        positional="data",
    ),
    Verb(
        name="ppo",
        help="Learn from rewards of the policy's own responses, with a value for every token.",
        settings="upbring.settings.methods.ppo:PpoSettings",
        run="upbring.cli.ppo:run",
        example="upbring ppo prompts.jsonl --model runs/sft-1 --reward runs/reward-1",
        about="Policy, reference, value and reward are roles on one base in memory. Give --judge a "
        "second reward model, and the run can tell whether the first was hacked.",
        positional="prompts",
    ),
    Verb(
        name="grpo",
        help="Learn from how much better each response is than others to its prompt: GRPO.",
        settings="upbring.settings.methods.grpo:GrpoSettings",
        run="upbring.cli.grpo:run",
        example="upbring grpo prompts.jsonl --model runs/sft-1 --rule is_json",
        positional="prompts",
    ),
    Verb(
        name="rloo",
        help="Learn from rewards of whole responses, against others to the same prompt: RLOO.",
        settings="upbring.settings.methods.rloo:RlooSettings",
        run="upbring.cli.rloo:run",
        example="upbring rloo prompts.jsonl --model runs/sft-1 --reward runs/reward-1",
        positional="prompts",
    ),
    Verb(
        name="rollouts",
        help="Look at responses of a run token by token: reward, divergence, advantage, value.",
        settings="upbring.settings.commands.rollouts:RolloutsSettings",
        run="upbring.cli.rollouts:run",
        example="upbring rollouts runs/ppo-1",
        positional="run",
    ),
    Verb(
        name="run",
        help="Take a whole road: every stage of a recipe, then evaluation, gates and report.",
        settings="upbring.settings.commands.run:RunSettings",
        run="upbring.cli.run:run",
        example="upbring run recipe.yaml",
        about="What is finished is kept, what was stopped goes on: run it again at any time. A "
        "failed gate makes the exit code 6.",
        positional="recipe",
    ),
    Verb(
        name="init",
        help="Write a commented recipe for your case, and example data, to begin with.",
        settings="upbring.settings.commands.init:InitSettings",
        run="upbring.cli.init:run",
        example="upbring init --case domain --model ./base --to my-road",
    ),
    Verb(
        name="collect",
        help="Let a model answer prompts several times, and have the answers ranked.",
        settings="upbring.settings.commands.collect:CollectSettings",
        run="upbring.cli.collect:run",
        example="upbring collect prompts.jsonl --model runs/sft-1 --by people",
        about="People rank in a page that works offline; its file goes to `upbring reward` or "
        "`upbring dpo`.",
        positional="prompts",
    ),
    Verb(
        name="resume",
        help="Go on with an interrupted run as if it had never stopped.",
        settings="upbring.settings.commands.resume:ResumeSettings",
        run="upbring.cli.resume:run",
        example="upbring resume",
        positional="run",
    ),
    Verb(
        name="chat",
        help="Talk with a model in the terminal.",
        settings="upbring.settings.commands.chat:ChatSettings",
        run="upbring.cli.chat:run",
        example="upbring chat runs/sft-1 --temperature 0.7",
        positional="model",
    ),
    Verb(
        name="evaluate",
        help="Measure models: preference, facts, instructions, refusals, forgetting, memorisation.",
        settings="upbring.settings.commands.evaluate:EvaluateSettings",
        run="upbring.cli.evaluate:run",
        example="upbring evaluate ./base runs/sft-1 --suite facts,refusals --data questions.jsonl",
        about="Each number comes with its interval, each answer is kept. Run again, it asks only "
        "what is missing.",
        positional="models",
    ),
    Verb(
        name="export",
        help="Write a model that other tools load as it stands.",
        settings="upbring.settings.commands.export:ExportSettings",
        run="upbring.cli.export:run",
        example="upbring export runs/sft-1 --to ./assistant",
        positional="run",
    ),
    Verb(
        name="runs",
        help="List the runs of a folder.",
        settings="upbring.settings.commands.runs:RunsSettings",
        run="upbring.cli.runs:run",
        example="upbring runs",
    ),
    Verb(
        name="report",
        help="Write one page that shows what runs did: gates, before and after, curves, samples.",
        settings="upbring.settings.commands.report:ReportSettings",
        run="upbring.cli.report:run",
        example="upbring report runs/sft-1",
        about="Reads folders alone, at any time, also of a run that is at work. The page asks "
        "nobody for anything; report.json beside it holds every number.",
        positional="run",
    ),
    Verb(
        name="watch",
        help="Show the report as a live page while runs are at work.",
        settings="upbring.settings.commands.report:WatchSettings",
        run="upbring.cli.watch:run",
        example="upbring watch",
        about="Serves to this machine alone, to whoever has the address that it prints. Ctrl-C "
        "ends it.",
        positional="run",
    ),
    Verb(
        name="nursery",
        help="Write the embedded small world as files: corpus, demonstrations, evaluation sets.",
        settings="upbring.settings.commands.toyworld:NurserySettings",
        run="upbring.cli.toyworld:run",
        example="upbring nursery export ./world",
        about="All people and judgements in it are invented.",
        positional="do",
    ),
    Verb(
        name="demo",
        help="See the road in a few minutes, on an embedded small world.",
        settings="upbring.settings.commands.demo:DemoSettings",
        run="upbring.cli.demo:run",
        example="upbring demo",
    ),
)


def verbs() -> dict[str, Verb]:
    """Return the verbs by name, in the order of the table."""
    return {verb.name: verb for verb in VERBS}


def imported(place: str) -> Any:  # noqa: ANN401 -- a class or a function, as the caller knows
    """Return what a place such as `package.module:name` names."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
