"""`upbring rollouts`: what a policy answered, and what each token of it was worth."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from upbring.errors import InputError
from upbring.runs.run_folder import Run
from upbring.settings.commands.rollouts import RolloutsSettings
from upbring.settings.resolve import Resolved

NUMBERS = ("rewards", "kl", "advantages", "values")


def run(resolved: Resolved[RolloutsSettings]) -> None:
    """Print the rollouts of one evaluation."""
    settings = resolved.settings
    path = Path(settings.run)
    found = Run.open(path if path.exists() else settings.runs / path)
    console = Console()
    for sample in _samples(found, settings.step):
        console.print(Text(f"step {sample['step']}: {_facts(sample)}", "bold"))
        console.print(Text(_visible(str(sample["prompt"]).strip()), "dim"))
        console.print(coloured(sample["tokens"], sample.get(settings.colour, [])))
        if settings.table:
            console.print(_table(sample))
        console.print()


def coloured(tokens: Sequence[str], numbers: Sequence[float]) -> Text:
    """Return tokens as text, green where a number is high and red where it is low."""
    most = max((abs(number) for number in numbers), default=0.0) or 1.0
    text = Text()
    for place, token in enumerate(tokens):
        number = numbers[place] / most if place < len(numbers) else 0.0
        strength = round(160 * abs(number))
        red, green = (0, strength) if number >= 0 else (strength, 0)
        text.append(_visible(token), f"on rgb({red},{green},0)" if strength > 0 else "")
    return text


def _samples(found: Run, step: int | None) -> Iterator[dict[str, Any]]:
    """Yield the rollouts of an evaluation: of this step, or of the last."""
    lines = found.samples_file.read_text(encoding="utf-8") if found.samples_file.is_file() else ""
    every = [json.loads(line) for line in lines.splitlines() if line.endswith("}")]
    samples = [sample for sample in every if "tokens" in sample]
    if not samples:
        raise InputError(
            f"{found.path}: has no rollouts yet; ppo, grpo and rloo write some at each evaluation"
        )
    steps = sorted({sample["step"] for sample in samples})
    chosen = steps[-1] if step is None else step
    if chosen not in steps:
        told = ", ".join(map(str, steps))
        raise InputError(f"--step: {chosen} was no evaluation of {found.path}; take one of {told}")
    yield from (sample for sample in samples if sample["step"] == chosen)


def _facts(sample: dict[str, Any]) -> str:
    names = [name for name in ("reward", "judge") if name in sample]
    told = [f"{name} {sample[name]:.3g}" for name in names]
    return ", ".join([*told, f"kl {sum(sample['kl']):.3g} nats", f"{len(sample['tokens'])} tokens"])


def _table(sample: dict[str, Any]) -> Table:
    names = [name for name in NUMBERS if name in sample]
    table = Table("token", *names, box=None, pad_edge=False)
    for place, token in enumerate(sample["tokens"]):
        numbers = [f"{sample[name][place]:+.4f}" for name in names]
        table.add_row(Text(repr(token)[1:-1]), *numbers)
    return table


def _visible(text: str) -> str:
    """Return text whose control characters, which a terminal would obey, are written out."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
