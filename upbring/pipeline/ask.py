"""The same few prompts, asked of the base and of every model that a road makes.

What was answered stands in `asked.json`; a model that is what it was is not asked again.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from upbring import durable
from upbring.data.read.records import Message
from upbring.settings.model import ModelSettings
from upbring.stages.evaluation.models import bring

FILE = "asked.json"
LONGEST = 60  # tokens of an answer

Answers = dict[str, dict[str, str]]  # by model's name and prompt


@dataclass(frozen=True, slots=True)
class Asking:
    """Prompts, and the folder in which answers are kept."""

    prompts: tuple[str, ...]
    folder: Path

    def known(self) -> Answers:
        """Return the answers that were given before."""
        path = self.folder / FILE
        if not path.is_file():
            return {}
        with durable.explained(path):
            found: Answers = json.loads(path.read_bytes())
        return found

    def ask(self, name: str, model: str, *, say: Callable[[str], None]) -> Mapping[str, str]:
        """Return what a model answers, and keep it under its name."""
        texts = answers(model, self.prompts, notice=say)
        given = dict(zip(self.prompts, texts, strict=True))
        with durable.explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        durable.write_json(self.folder / FILE, {**self.known(), name: given})
        return given


def answers(model: str, prompts: Sequence[str], *, notice: Callable[[str], None]) -> list[str]:
    """Return the likeliest answer of a model to each prompt."""
    asked = ModelSettings(model=model, precision="float32")
    local = bring(asked, max_tokens=LONGEST, notice=notice)
    return [text.strip() for text in local.answers([(Message("user", p),) for p in prompts])]


def told(name: str, given: Mapping[str, str]) -> str:
    """Return prompts and answers as lines to read."""
    lines = [f"{name} answers:"]
    for prompt, answer in given.items():
        lines += [f"  > {_line(prompt)}", f"    {_line(answer)}"]
    return "\n".join(lines)


def _line(text: str, *, limit: int = 150) -> str:
    joined = " / ".join(text.split("\n"))
    return joined if len(joined) <= limit else joined[: limit - 1] + "…"
