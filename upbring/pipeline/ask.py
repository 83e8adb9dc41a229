"""A few fixed prompts that the base and every model of a pipeline answer.

The answers are saved in `asked.json`; a model that has not changed does not answer again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from upbring import durable
from upbring.data.read.records import Message
from upbring.settings.model import ModelSettings
from upbring.stages.evaluation.models import hash_model, load_local_model
from upbring.tracking import Track, no_tracking, track_call

ANSWERS_FILE = "asked.json"
MAX_TOKENS = 60  # maximum length of an answer

Answers = dict[str, dict[str, str]]  # by the model's name and hash, and by prompt

_ANSWERS = TypeAdapter(Answers)


@dataclass(frozen=True, slots=True)
class PipelinePrompts:
    """Prompts, and the folder in which the answers are saved."""

    prompts: tuple[str, ...]
    folder: Path

    def read_answers(self) -> Answers:
        """Return the saved answers; none if the file is damaged."""
        path = self.folder / ANSWERS_FILE
        if not path.is_file():
            return {}
        try:
            with durable.explain_os_errors(path):
                return _ANSWERS.validate_json(path.read_bytes())
        except ValidationError:  # damaged: the models answer again
            return {}

    def ask(
        self,
        name: str,
        model: str,
        *,
        log: Callable[[str], None],
        track: Track = no_tracking,
    ) -> Mapping[str, str]:
        """Return a model's answers, saved under its name and hash; saved ones are reused."""
        key = f"{name} {hash_model(model)}"
        saved = self.read_answers().get(key, {})
        if list(saved) == list(self.prompts):
            return saved
        texts = greedy_answers(model, self.prompts, log=log, track=track)
        answers_by_prompt = dict(zip(self.prompts, texts, strict=True))
        with durable.explain_os_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        durable.write_json(
            self.folder / ANSWERS_FILE, {**self.read_answers(), key: answers_by_prompt}
        )
        return answers_by_prompt


def greedy_answers(
    model: str,
    prompts: Sequence[str],
    *,
    log: Callable[[str], None],
    track: Track = no_tracking,
) -> list[str]:
    """Return a model's greedy answer to each prompt."""
    model_settings = ModelSettings(model=model, dtype="float32")
    local_model = load_local_model(model_settings, max_tokens=MAX_TOKENS, log=log, track=track)
    dialogues = [(Message("user", prompt),) for prompt in prompts]
    answer = partial(local_model.generate, dialogues)
    return [text.strip() for text in track_call(track, f"{model}: answering prompts", answer)]


def format_answers(name: str, answers_by_prompt: Mapping[str, str]) -> str:
    """Return prompts and answers as text for the terminal."""
    lines = [f"{name} answers:"]
    for prompt, answer in answers_by_prompt.items():
        lines += [f"  > {_shorten(prompt)}", f"    {_shorten(answer)}"]
    return "\n".join(lines)


def _shorten(text: str, *, max_length: int = 150) -> str:
    joined = " / ".join(text.split("\n"))
    return joined if len(joined) <= max_length else joined[: max_length - 1] + "…"
