"""The same few prompts, asked of the base and of every model that a road makes.

What was answered stands in `asked.json`; a model that is what it was is not asked again.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from upbring import durable
from upbring.data.records import Message
from upbring.maths import draws
from upbring.model.load import load
from upbring.model.sample import Request, Stopping, sample
from upbring.serve.speaking import speaker
from upbring.settings.model import ModelSettings
from upbring.settings.sample import SampleSettings
from upbring.train import devices

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
    machine = devices.prepare(ModelSettings(model=model, precision="float32"))
    loaded = load(model, device=machine.device, compute=machine.compute, notice=notice)
    chat = speaker(loaded).chat
    requests = [
        Request(chat.prompt([Message("user", text)]), (draws.key("ask", i),))
        for i, text in enumerate(prompts)
    ]
    how = SampleSettings(temperature=0, max_tokens=LONGEST)
    stops = frozenset(chat.stops)
    found = sample(loaded.model, requests, how, stopping=Stopping(stops))
    return [
        chat.tokenizer.decode([t for t in each.tokens if t not in stops]).strip() for each in found
    ]


def told(name: str, given: Mapping[str, str]) -> str:
    """Return prompts and answers as lines to read."""
    lines = [f"{name} answers:"]
    for prompt, answer in given.items():
        lines += [f"  > {_line(prompt)}", f"    {_line(answer)}"]
    return "\n".join(lines)


def _line(text: str, *, limit: int = 150) -> str:
    joined = " / ".join(text.split("\n"))
    return joined if len(joined) <= limit else joined[: limit - 1] + "…"
