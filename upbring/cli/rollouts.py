"""`upbring rollouts`: sampled responses of an RL run, with the metrics of each token."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from upbring.errors import InputError
from upbring.plurals import format_count
from upbring.runs.metrics import read_lines
from upbring.runs.run_folder import Run
from upbring.settings.commands.rollouts import RolloutsSettings
from upbring.settings.resolve import Resolved
from upbring.terminal import Console
from upbring.train.table_layouts import Layout, print_table, table_layouts

TOKEN_METRICS = ("rewards", "kl", "advantages", "values")


def run(resolved: Resolved[RolloutsSettings]) -> None:
    """Print the rollouts of one evaluation."""
    settings = resolved.settings
    path = Path(settings.run)
    opened = Run.open(path if path.exists() else settings.runs / path)
    console = Console()
    for sample in _samples(opened, settings.step):
        console.print(Text(f"step {sample['step']}: {_sample_summary(sample)}", "bold"))
        console.print(Text(_escape_control(str(sample["prompt"]).strip()), "dim"))
        console.print(color_tokens(sample["tokens"], sample.get(settings.color, [])))
        if settings.table:
            print_table(console, [*_token_layouts(sample)])
        console.print()


def color_tokens(tokens: Sequence[str], numbers: Sequence[float]) -> Text:
    """Return tokens as text, green where a number is high and red where it is low."""
    max_abs = max((abs(number) for number in numbers), default=0.0) or 1.0
    text = Text()
    for index, token in enumerate(tokens):
        number = numbers[index] / max_abs if index < len(numbers) else 0.0
        strength = round(160 * abs(number))
        red, green = (0, strength) if number >= 0 else (strength, 0)
        text.append(_escape_control(token), f"on rgb({red},{green},0)" if strength > 0 else "")
    return text


def _samples(opened: Run, step: int | None) -> Iterator[dict[str, Any]]:
    """Yield the rollouts of the evaluation at `step`, or of the last one."""
    samples: list[dict[str, Any]] = [
        row for _, row in read_lines(opened.samples_file) if "tokens" in row
    ]
    if not samples:
        raise InputError(f"{opened.path}: has no rollouts; RL runs write some at each evaluation")
    steps = sorted({sample["step"] for sample in samples})
    selected_step = steps[-1] if step is None else step
    if selected_step not in steps:
        available_steps = ", ".join(map(str, steps))
        raise InputError(
            f"--step: {opened.path} has no evaluation at step {selected_step}; choose one of "
            f"{available_steps}"
        )
    yield from (sample for sample in samples if sample["step"] == selected_step)


def _sample_summary(sample: dict[str, Any]) -> str:
    names = [name for name in ("reward", "judge") if name in sample]
    metrics = [f"{name} {sample[name]:.3g}" for name in names]
    return ", ".join(
        [*metrics, f"kl {sum(sample['kl']):.3g} nats", format_count(len(sample["tokens"]), "token")]
    )


def _token_layouts(sample: dict[str, Any]) -> Iterator[Layout]:
    """Yield tables with a row per token; a narrow terminal gets fewer metrics."""
    names = [name for name in TOKEN_METRICS if name in sample]
    rows = [
        [repr(token)[1:-1], *(f"{sample[name][index]:+.4f}" for name in names)]
        for index, token in enumerate(sample["tokens"])
    ]
    yield from table_layouts(["token", *names], rows, optional=names[:0:-1])


def _escape_control(text: str) -> str:
    """Return text with control characters escaped, which a terminal would interpret."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
