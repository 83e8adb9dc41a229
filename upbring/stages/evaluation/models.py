"""The models of an evaluation: at most one is in memory, and it is loaded on first use.

A model's identity is known before it is loaded, so that cached answers need no loading.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from upbring import durable
from upbring.data.chat.template_file import read_template_file
from upbring.evaluate.endpoint import Endpoint
from upbring.evaluate.local_model import LocalModel
from upbring.evaluate.model_protocol import (
    Dialogue,
    EvaluatedModel,
    Likelihood,
    LikelihoodRequest,
    fingerprint,
)
from upbring.model.gguf.locate_model import locate_model
from upbring.model.load import load
from upbring.remote.address import is_url
from upbring.runs.json_object import read_json_object
from upbring.serve.streaming import make_chat_model
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.settings.model import ModelSettings
from upbring.stages.open_client import CALLS_FILE, call_limits, open_calls, open_client
from upbring.tracking import Track, no_tracking, track_call
from upbring.train import devices

Log = Callable[[str], None]

# The files that determine a model's answers; others (README, optimizer) do not.
HASHED_FILES = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")


class ModelSlot:
    """The one model in memory; using another one replaces it."""

    def __init__(
        self,
        settings: EvaluateSettings,
        *,
        log: Log,
        poll: Callable[[], None],
        track: Track = no_tracking,
    ) -> None:
        self.settings, self.log, self.poll, self.track = settings, log, poll, track
        self._loaded_name: str | None = None
        self._local_model: LocalModel | None = None
        self.num_loads = 0

    def make_model(self, model: str, name: str) -> EvaluatedModel:
        """Return the model to evaluate, from its path or URL and its name in the results."""
        if is_url(model):
            calls = open_calls(self.settings.to / CALLS_FILE)
            client = open_client(
                model, calls, limits=call_limits(self.settings), poll=self.poll, log=self.log
            )
            return Endpoint(client, self.settings.max_tokens, name)
        template = read_template_file(self.settings.chat_template)
        sha256 = track_call(self.track, f"{name}: hashing its files", partial(hash_model, model))
        if self.settings.quantization != "auto":
            sha256 = f"{sha256} {self.settings.quantization}"
        return LazyModel(model, name, self.settings.max_tokens, self, (sha256, template))

    def get_local(self, lazy_model: "LazyModel") -> LocalModel:
        """Return the loaded model of `lazy_model`; another one in memory is replaced."""
        if self._local_model is None or self._loaded_name != lazy_model.model:
            self.unload()
            model_settings = ModelSettings(
                model=lazy_model.model,
                dtype=self.settings.dtype,
                device=self.settings.device,
                threads=self.settings.threads,
                quantization=self.settings.quantization,
            )
            self._local_model = load_local_model(
                model_settings,
                name=lazy_model.name,
                identity=lazy_model.identity,
                max_tokens=self.settings.max_tokens,
                template=read_template_file(self.settings.chat_template),
                log=self.log,
                poll=self.poll,
                track=self.track,
            )
            self._loaded_name, self.num_loads = lazy_model.model, self.num_loads + 1
        return replace(
            self._local_model, max_tokens=lazy_model.max_tokens, identity=lazy_model.identity
        )

    def unload(self) -> None:
        """Free the memory of the loaded model."""
        self._local_model = None


@dataclass(frozen=True)
class LazyModel:
    """A model that is loaded on first use."""

    model: str
    name: str
    max_tokens: int
    slot: ModelSlot
    contents: tuple[str, str | None]  # a hash of its files, and another chat template

    @property
    def identity(self) -> str:
        """A hash of everything that determines its outputs."""
        return fingerprint(*self.contents, self.max_tokens)

    def generate(self, prompts: Sequence[Dialogue]) -> Sequence[str]:
        """Return the greedy answer to each prompt."""
        return self.slot.get_local(self).generate(prompts)

    def sample(self, prompts: Sequence[Dialogue], *, seed: int) -> Sequence[str]:
        """Return an answer to each prompt, sampled at temperature 1."""
        return self.slot.get_local(self).sample(prompts, seed=seed)

    def complete(self, texts: Sequence[str], *, max_tokens: int) -> Sequence[str]:
        """Return the greedy continuation of each plain text."""
        return self.slot.get_local(self).complete(texts, max_tokens=max_tokens)

    def likelihoods(self, requests: Sequence[LikelihoodRequest]) -> list[tuple[Likelihood, ...]]:
        """Return the likelihood of each ending of each choice."""
        return self.slot.get_local(self).likelihoods(requests)

    def document_likelihoods(self, documents: Sequence[str]) -> list[Likelihood]:
        """Return the likelihood of each document."""
        return self.slot.get_local(self).document_likelihoods(documents)


def with_max_tokens(model: EvaluatedModel, max_tokens: int) -> EvaluatedModel:
    """Return the model with another maximum length of a response."""
    if isinstance(model, LazyModel | Endpoint):
        return replace(model, max_tokens=max_tokens)
    return model


def load_local_model(
    settings: ModelSettings,
    *,
    max_tokens: int,
    log: Log,
    poll: Callable[[], None] = lambda: None,
    track: Track = no_tracking,
    template: str | None = None,
    name: str = "",
    identity: str = "",
) -> LocalModel:
    """Return a loaded model; its name defaults to `settings.model`."""
    machine = devices.prepare(settings)
    device, compute_dtype = machine.device, machine.compute_dtype
    loaded = load(
        settings.model,
        device=device,
        compute_dtype=compute_dtype,
        quantization=settings.quantization,
        log=log,
        track=track,
    )
    chat = make_chat_model(loaded, template=template).chat
    return LocalModel(name or settings.model, identity, loaded.model, chat, max_tokens, log, poll)


def hash_model(model: str) -> str:
    """Return a hash of all files that determine a model's answers, its base's included."""
    folder, seen = locate_model(model), set[Path]()
    files: list[str] = []
    while folder not in seen:
        seen.add(folder)
        paths = sorted({path for pattern in HASHED_FILES for path in folder.glob(pattern)})
        files += [f"{path.name} {durable.sha256_file(path)}" for path in paths]
        base = read_json_object(folder / "adapter_config.json").get("base_model_name_or_path")
        folder = locate_model(str(base)) if base else folder
    return hashlib.sha256("\n".join(files).encode()).hexdigest()
