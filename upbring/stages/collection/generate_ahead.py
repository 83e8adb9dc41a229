"""The child process of `upbring label` that answers prompts while people already vote.

    python -m upbring.stages.collection.generate_ahead FOLDER < settings.json

It appends one line per prompt to FOLDER/responses.jsonl, in the order of the prompts, and continues
after the last complete line. It ends when its standard input is closed: when the parent dies.
A response depends only on (seed, model, prompt, number).
"""

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from upbring import durable
from upbring.data.read import formats
from upbring.data.read.records import Prompt
from upbring.errors import UpbringError
from upbring.evaluate.local_model import LocalModel
from upbring.maths import counter_rng
from upbring.settings.commands.label import LabelSettings
from upbring.settings.model import ModelSettings
from upbring.settings.sampling import SampleSettings
from upbring.stages.collection.collect import distinct_answers
from upbring.stages.collection.response_file import RESPONSES_FILE
from upbring.stages.evaluation.models import load_local_model

NUM_SINGLE_MODEL_RESPONSES = 4
FIRST_PROMPTS, MORE_PROMPTS = 4, 32  # answered together: few at first, so that nobody waits

Log = Callable[[str], None]


def generate(settings: LabelSettings, folder: Path, *, log: Log) -> None:
    """Append the responses to all prompts that have none yet."""
    prompts = select_prompts(settings)
    path = folder / RESPONSES_FILE
    start = _repair(path)
    models = _Models(settings, log)
    for chunk in chunks(range(start, len(prompts))):
        texts: list[list[tuple[str, str]]] = [[] for _ in chunk]
        for model, count in models.in_order():
            keys = [
                tuple(counter_rng.key(settings.seed, "label", model, i, n) for n in range(count))
                for i in chunk
            ]
            dialogues = [prompts[i][0].messages for i in chunk]
            sampled = models.load(model).sample_with_keys(dialogues, models.sampling(), keys=keys)
            for found, responses in zip(texts, sampled, strict=True):
                found += [(text, model) for text in responses]
        _append(path, [_line(prompts[i], found) for i, found in zip(chunk, texts, strict=True)])


def select_prompts(settings: LabelSettings) -> list[tuple[Prompt, str]]:
    """Return the prompts to answer, evenly spread over the files, each with its line."""
    found: list[tuple[Prompt, str]] = []
    for path in map(Path, settings.do):
        prompts = list(formats.read_records(path, Prompt))
        lines = path.read_text(encoding="utf-8").splitlines() if path.suffix == ".jsonl" else []
        for prompt in prompts:
            line = prompt.origin.line
            found.append((prompt, lines[line - 1] if 0 < line <= len(lines) else ""))
    count = min(settings.limit, len(found))
    return [found[i * len(found) // count] for i in range(count)]


def chunks(indices: range) -> Iterator[range]:
    """Yield a small chunk of indices and then larger ones.

    >>> [len(chunk) for chunk in chunks(range(50))]
    [4, 32, 14]
    """
    size = FIRST_PROMPTS
    while indices:
        yield indices[:size]
        indices, size = indices[size:], MORE_PROMPTS


class _Models:
    """The models, of which one is in memory; each chunk starts with that one."""

    def __init__(self, settings: LabelSettings, log: Log) -> None:
        self._settings, self._log = settings, log
        self._name = ""
        self._loaded: LocalModel | None = None

    def in_order(self) -> list[tuple[str, int]]:
        """Return the models and how many responses each gives to a prompt."""
        models = self._settings.models
        total = self._settings.num_responses
        if total is None:
            total = len(models) if len(models) > 1 else NUM_SINGLE_MODEL_RESPONSES
        counts = [len(range(k, total, len(models))) for k in range(len(models))]
        pairs = zip(models, counts, strict=True)
        return sorted(pairs, key=lambda pair: pair[0] != self._name)

    def sampling(self) -> SampleSettings:
        settings = self._settings
        return SampleSettings(temperature=settings.temperature, max_tokens=settings.max_tokens)

    def load(self, model: str) -> LocalModel:
        if self._loaded is None or model != self._name:
            self._loaded = None
            settings = self._settings
            model_settings = ModelSettings(
                model=model,
                dtype=settings.dtype,
                device=settings.device,
                threads=settings.threads,
            )
            self._loaded = load_local_model(
                model_settings, max_tokens=settings.max_tokens, log=self._log
            )
            self._name = model
        return self._loaded


def _line(prompt: tuple[Prompt, str], found: Sequence[tuple[str, str]]) -> str:
    """Return the line of a prompt; equal responses of several models are one response."""
    models: dict[str, str] = {}
    for text, model in found:
        for cleaned in distinct_answers([text]):
            models.setdefault(cleaned, model)
    row = {
        "prompt": [{"role": m.role, "content": m.content} for m in prompt[0].messages],
        "responses": [*models],
        "models": [*models.values()],
        "row": prompt[1],
    }
    return json.dumps(row, ensure_ascii=False) + "\n"


def _repair(path: Path) -> int:
    """Cut off a line that a kill left unfinished, and return the number of complete lines."""
    if not path.exists():
        return 0
    data = path.read_bytes()
    complete = data[: data.rfind(b"\n") + 1]
    if len(complete) < len(data):
        durable.write_bytes(path, complete)
    return complete.count(b"\n")


def _append(path: Path, lines: Sequence[str]) -> None:
    with durable.explain_os_errors(path), path.open("ab", buffering=0) as file:
        file.write("".join(lines).encode(errors="replace"))
        durable.DISK.sync(file)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> int:
    """Run the child process."""
    folder = Path(sys.argv[1])
    settings = LabelSettings.model_validate_json(sys.stdin.readline(), strict=False)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        generate(settings, folder, log=lambda text: print(text, file=sys.stderr, flush=True))  # noqa: T201 -- the parent's log file
    except UpbringError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(main())  # without joining threads of compute libraries
