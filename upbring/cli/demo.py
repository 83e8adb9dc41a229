"""`upbring demo`: the road so far, on the embedded world, in a few minutes.

Everything in it is the public commands: export the world, look at the base, fine-tune it, look
again. All judgements are the nursery's, and synthetic.
"""

from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from upbring import durable
from upbring.errors import InputError
from upbring.model.load import load
from upbring.nursery.export import export
from upbring.recipe.training import train
from upbring.recipe.trial import Trial, accuracy, knowledge, obedience, spread, tasks, tried
from upbring.serve.speaking import speaker
from upbring.settings.model import ModelSettings
from upbring.settings.resolve import Resolved, resolve
from upbring.settings.sft import SftSettings
from upbring.settings.verbs import DemoSettings
from upbring.train import devices

BASE = "builtin:sprout"
FACTS = "facts-held-out-entities-held-out-phrasings"
CASES = (0, 2, 5, 6, 7, 8)  # of the ten that every introduction to the field tells
CORPUS_CHARACTERS = 200_000


def run(resolved: Resolved[DemoSettings]) -> None:
    """Take the road and show what each part of it changed."""
    settings = resolved.settings
    folder = settings.to
    if folder.exists():
        raise InputError(f"{folder}: exists already; remove it, or choose another with --to")
    console = Console()

    def tell(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    tell(f"1. A small world, whose facts are known: {folder / 'world'}")
    with durable.explained(folder):
        folder.mkdir(parents=True)
    export(folder / "world", characters=CORPUS_CHARACTERS)
    tell(f"2. The base model {BASE} has read that world's documents and can only complete them.")
    before = look(BASE, settings, tell=tell)
    tell("3. Supervised fine-tuning on demonstrations about half of the world's entities.")
    asked = {
        "model": BASE,
        "data": [str(folder / "world" / "demonstrations.jsonl")],
        "epochs": settings.epochs,
        "step_examples": 16,
        "learning_rate": 4e-3,
        "runs": str(folder / "runs"),
        "name": "sft",
        **({} if settings.threads is None else {"threads": settings.threads}),
    }
    taught = train("sft", resolve(SftSettings, section="sft", flags=asked))
    after = look(str(taught.path), settings, tell=tell)
    console.print(scorecard(before, after))
    for old, new in zip(before.answers, after.answers, strict=True):
        tell(f"\n> {old.task.question}\n  base: {_line(old.answer)}\n  sft:  {_line(new.answer)}")
    tell(f"\nTalk with it:  upbring chat {taught.path}")


class Look:
    """What was seen of a model: knowledge, answers to six prompts, shares of right answers."""

    def __init__(
        self, *, known: float, facts: list[Trial], forms: list[Trial], answers: list[Trial]
    ) -> None:
        self.known, self.answers = known, answers
        self.facts, self.forms = accuracy(facts), obedience(forms)


def look(name: str, settings: DemoSettings, *, tell: Callable[[str], None]) -> Look:
    """Return what a model knows, answers and obeys."""
    asked = ModelSettings(model=name, threads=settings.threads, precision="float32")
    machine = devices.prepare(asked)
    loaded = load(name, device=machine.device, compute=machine.compute, notice=tell)
    speaking = speaker(loaded)
    cases = tasks(settings.to / "world" / "evaluation" / "cases.jsonl")
    sets, most = settings.to / "world" / "evaluation", settings.tried
    return Look(
        known=knowledge(speaking, sets / "clozes.jsonl", most=most),
        facts=tried(speaking, spread(tasks(sets / f"{FACTS}.jsonl"), most)),
        forms=tried(speaking, spread(tasks(sets / "forms.jsonl"), most)),
        answers=tried(speaking, [cases[i] for i in CASES]),
    )


def scorecard(before: Look, after: Look) -> Table:
    """Return the table of what fine-tuning changed."""
    table = Table("measured on held-out data", "base", "sft", box=None, pad_edge=False)
    rows = (
        ("knows: the true ending of a sentence is the likeliest", before.known, after.known),
        ("answers: facts of unseen entities, unseen phrasings", before.facts, after.facts),
        ("obeys: JSON, bullets or one sentence, as asked", before.forms, after.forms),
    )
    for title, old, new in rows:
        table.add_row(title, f"{old:.0%}", f"{new:.0%}")
    return table


def _line(text: str) -> str:
    return " / ".join(text.split("\n"))[:200]
