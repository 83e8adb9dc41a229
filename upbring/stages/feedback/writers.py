"""Who writes responses: a model on this machine or a server, each text written once.

The texts of a local model are kept like paid replies, by a hash of the model, the prompt, the
settings of sampling and the random key: an interrupted collection goes on where it stopped.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from upbring import durable
from upbring.evaluate.local_model import LocalModel, SampledText
from upbring.evaluate.model_protocol import Dialogue, fingerprint
from upbring.model.sampling import Request
from upbring.remote.address import is_url
from upbring.remote.chat import ChatOptions, chat_call, chat_text, is_cut_off
from upbring.remote.client import Call, CallLimits, Client, Reply, dig
from upbring.settings.model import ModelSettings
from upbring.settings.sampling import SampleSettings
from upbring.stages.evaluation.models import hash_model, load_local_model
from upbring.stages.open_client import open_client
from upbring.tracking import Track, no_tracking

PROMPTS_PER_BATCH = 32
MAX_SEED = 2**31 - 1  # that every server accepts
Item = TypeVar("Item")


@dataclass(frozen=True)
class WriteRequest:
    """The prompts to answer, each with the key of its sampling; the label names the progress."""

    prompts: Sequence[Dialogue]
    keys: Sequence[int]
    settings: SampleSettings
    label: str


class Writer(Protocol):
    """Writes one text per prompt of a request."""

    track: Track

    @property
    def name(self) -> str:
        """The model's name, as the user gave it."""

    @property
    def identity(self) -> str:
        """A hash of everything that determines its texts; of a server, its address."""

    def write(self, request: WriteRequest) -> list[SampledText]:
        """Return the texts."""


@dataclass
class LocalWriter:
    """A model on this machine, loaded when its first text is missing."""

    name: str
    settings: ModelSettings
    rows: durable.KeyedRows
    max_tokens: int
    log: Callable[[str], None] = lambda _: None
    poll: Callable[[], None] = lambda: None
    track: Track = no_tracking
    _model: LocalModel | None = field(default=None, init=False)
    _identity: str | None = field(default=None, init=False)

    def write(self, request: WriteRequest) -> list[SampledText]:
        """Return the texts, known ones from the file."""
        hashes = self._hashes(request)
        missing = [i for i, each in enumerate(hashes) if self.rows.get(each) is None]
        for batch in _batches(self, missing, request):
            self.poll()
            model = self.load()
            requests = [
                Request(model.encode_dialogue(request.prompts[i]), (request.keys[i],))
                for i in batch
            ]
            texts = model.sample_texts(requests, request.settings)
            self.rows.add(
                [
                    {"key": hashes[i], "reply": each._asdict()}
                    for i, (each,) in zip(batch, texts, strict=True)
                ]
            )
        return [_stored_text(self.rows, each) for each in hashes]

    @property
    def identity(self) -> str:
        """A hash of the model's files."""
        if self._identity is None:
            self._identity = hash_model(self.name)
        return self._identity

    def _hashes(self, request: WriteRequest) -> list[str]:
        """Return the key of each text: everything that determines it."""
        sampling = request.settings.model_dump(include=set(SampleSettings.model_fields))
        return [
            fingerprint("write", self.identity, prompt, key, sampling)
            for prompt, key in zip(request.prompts, request.keys, strict=True)
        ]

    def load(self) -> LocalModel:
        """Return the loaded model."""
        if self._model is None:
            self._model = load_local_model(
                self.settings,
                max_tokens=self.max_tokens,
                log=self.log,
                poll=self.poll,
                track=self.track,
            )
        return self._model


@dataclass
class RemoteWriter:
    """A model behind a server; its replies are stored by the client."""

    client: Client
    track: Track = no_tracking

    @property
    def name(self) -> str:
        """The address of the server."""
        return self.client.name

    @property
    def identity(self) -> str:
        """The address and the model that answered; its weights are not known."""
        return f"{self.name} {self.client.served_model or ''}".strip()

    def write(self, request: WriteRequest) -> list[SampledText]:
        """Return the texts; a key gives the seed of its call."""
        pairs = zip(request.prompts, request.keys, strict=True)
        calls = [self._call(prompt, key, request.settings) for prompt, key in pairs]
        replies: list[Reply] = []
        for batch in _batches(self, calls, request):
            replies += self.client.call_all(batch)
        return [SampledText(chat_text(each, self.name), is_cut_off(each)) for each in replies]

    def _call(self, prompt: Dialogue, key: int, settings: SampleSettings) -> Call:
        options = ChatOptions(
            settings.max_tokens,
            temperature=settings.temperature,
            top_p=settings.top_p,
            seed=key % MAX_SEED,
            stop=settings.stop,
        )
        messages = [{"role": m.role, "content": m.content} for m in prompt]
        return chat_call(messages, options, model=self.client.address.model)


def _batches(writer: Writer, items: Sequence[Item], request: WriteRequest) -> Iterator[list[Item]]:
    """Yield the items in batches, with their progress."""
    starts = range(0, len(items), PROMPTS_PER_BATCH)
    for start in writer.track(starts, total=len(starts), label=f"{writer.name}: {request.label}"):
        yield [*items[start : start + PROMPTS_PER_BATCH]]


def _stored_text(rows: durable.KeyedRows, key: str) -> SampledText:
    row = rows.get(key)
    assert row is not None, "every missing text was written"
    reply = row["reply"]
    return SampledText(str(dig(reply, "text") or ""), dig(reply, "is_cut_off") is True)


def make_writer(
    settings: ModelSettings,
    rows: durable.KeyedRows,
    *,
    max_tokens: int,
    limits: CallLimits,
    log: Callable[[str], None],
    poll: Callable[[], None],
    track: Track = no_tracking,
) -> LocalWriter | RemoteWriter:
    """Return the writer of the model that the settings name."""
    if is_url(settings.model):
        client = open_client(settings.model, rows, limits=limits, poll=poll, log=log)
        return RemoteWriter(client, track)
    return LocalWriter(settings.model, settings, rows, max_tokens, log, poll, track)
