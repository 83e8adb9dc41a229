"""The models of an evaluation: at most one is in memory, whoever is asked something comes in.

What decides a model's answers is known before it is loaded, so that what was answered before needs
no loading at all.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from upbring import durable
from upbring.errors import InputError
from upbring.evaluate.endpoint import Endpoint, is_url
from upbring.evaluate.local_model import Local
from upbring.evaluate.model_protocol import Choice, Dialogue, Likelihood, Subject, fingerprint
from upbring.model.load import load
from upbring.runs.find_model import locate, read_object
from upbring.serve.streaming import speaker
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.settings.model import ModelSettings
from upbring.train import devices

Notice = Callable[[str], None]

# What decides what a model says; other files of its folder (README, optimiser) do not.
DECIDES = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")


class Resident:
    """The one model that is in memory; another takes its place when it is asked something."""

    def __init__(
        self, settings: EvaluateSettings, *, notice: Notice, poll: Callable[[], None]
    ) -> None:
        self.settings, self.notice, self.poll = settings, notice, poll
        self._model: str | None = None
        self._local: Local | None = None
        self.num_loaded = 0

    def subject(self, model: str, name: str) -> Subject:
        """Return a model as a subject, by what it is given as and what it is called."""
        if is_url(model):
            return Endpoint(model, self.settings.max_tokens, name)
        template = template_of(self.settings)
        identity = fingerprint(identity_of(model), template, self.settings.max_tokens)
        return Guest(model, name, identity, self)

    def local(self, guest: "Guest") -> Local:
        """Return a guest's model, brought into memory if another was there."""
        if self._local is None or self._model != guest.model:
            self.leave()
            asked = ModelSettings(
                model=guest.model,
                precision=self.settings.precision,
                device=self.settings.device,
                threads=self.settings.threads,
            )
            self._local = bring(
                asked,
                name=guest.name,
                identity=guest.identity,
                max_tokens=self.settings.max_tokens,
                template=template_of(self.settings),
                notice=self.notice,
                poll=self.poll,
            )
            self._model, self.num_loaded = guest.model, self.num_loaded + 1
        return self._local

    def leave(self) -> None:
        """Make room for another."""
        self._local = None


@dataclass(frozen=True)
class Guest:
    """A model that is loaded when it is asked something."""

    model: str
    name: str
    identity: str
    place: Resident

    def answers(self, prompts: Sequence[Dialogue]) -> list[str]:
        """Return the likeliest answer to each prompt."""
        return self.place.local(self).answers(prompts)

    def drawn(self, prompts: Sequence[Dialogue], *, seed: int) -> list[str]:
        """Return an answer to each prompt, drawn at temperature 1."""
        return self.place.local(self).drawn(prompts, seed=seed)

    def continued(self, texts: Sequence[str], *, most_tokens: int) -> list[str]:
        """Return the likeliest continuation of each plain text."""
        return self.place.local(self).continued(texts, most_tokens=most_tokens)

    def likelihoods(self, choices: Sequence[Choice]) -> list[tuple[Likelihood, ...]]:
        """Return how likely each ending of each choice is."""
        return self.place.local(self).likelihoods(choices)

    def read(self, documents: Sequence[str]) -> list[Likelihood]:
        """Return how likely each document is."""
        return self.place.local(self).read(documents)


def bring(
    asked: ModelSettings,
    *,
    max_tokens: int,
    notice: Notice,
    poll: Callable[[], None] = lambda: None,
    template: str | None = None,
    name: str = "",
    identity: str = "",
) -> Local:
    """Return a model, brought into memory, that answers; unnamed it is called as it is given."""
    machine = devices.prepare(asked)
    loaded = load(asked.model, device=machine.device, compute=machine.compute, notice=notice)
    chat = speaker(loaded, template=template).chat
    return Local(name or asked.model, identity, loaded.model, chat, max_tokens, notice, poll)


def identity_of(model: str) -> str:
    """Return a hash of all files that decide what a model says, and of the base below it."""
    folder, seen = locate(model), set[Path]()
    files: list[str] = []
    while folder not in seen:
        seen.add(folder)
        paths = sorted({path for pattern in DECIDES for path in folder.glob(pattern)})
        files += [f"{path.name} {durable.sha256_file(path)}" for path in paths]
        base = read_object(folder / "adapter_config.json").get("base_model_name_or_path")
        folder = locate(str(base)) if base else folder
    return hashlib.sha256("\n".join(files).encode()).hexdigest()


def template_of(settings: EvaluateSettings) -> str | None:
    """Return the text of the template that the user names, if any."""
    if settings.template is None:
        return None
    try:
        return settings.template.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"template: {settings.template} cannot be read ({error}); name another"
        ) from error
