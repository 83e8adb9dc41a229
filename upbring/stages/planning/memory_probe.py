"""A model counted before any of its weights are read: every byte of a step of its first layers.

The step is taken by the code that will take the real one, on tensors that have a shape and no data
(`FakeTensorMode`): what it allocates is added up, what it lets go subtracted. Two layers tell what
one more keeps; the rest of the model is arithmetic. Nothing is fitted, and no architecture is
known here. Small layers are given data: that is sooner done than pretending.

Left out: scratch memory inside of a kernel, which no tensor holds.
"""

import copy
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from upbring.data.trees.batch import Batch, make_batch
from upbring.data.trees.tree import Tree, tree
from upbring.model import matmul_attention
from upbring.model.attention import NAME
from upbring.model.fused_layers import fuse
from upbring.model.network import Model, hidden_states, silence_dropout
from upbring.model.roles import BASE, Roles
from upbring.model.score import CHUNK_BYTES, read_out
from upbring.settings.model import AdapterSettings
from upbring.stages.planning.estimate import Line, Shape

FEW = 2  # layers: the second tells what one more takes
ROLE = "counted"
MANY = 2048  # rows of logits, enough to tell rows from the rest
SOME = 512  # the same where they have data
SMALL = 8_000_000  # numbers of layers and head that may have data
MORE = 4  # trees, and twice as many, by which weights that are cast are told from tokens


@dataclass(frozen=True, slots=True)
class Manner:
    """How a model will learn: its number format, its role, its place."""

    compute: torch.dtype
    adapter: AdapterSettings
    is_full: bool
    is_checkpointed: bool
    device: torch.device

    @property
    def stored(self) -> torch.dtype:
        """The number format of the weights."""
        return torch.float32 if self.is_full else self.compute


def outlined(
    config: PretrainedConfig, manner: Manner, *, typical: Tree | None = None, file: int = 0
) -> Shape:
    """Return the shape of a model of this configuration that learns from trees like `typical`."""
    whole, _ = skeleton(config, manner, layers=None)
    return counted(whole, manner, typical=typical, file=file)


def counted(
    whole: PreTrainedModel, manner: Manner, *, typical: Tree | None = None, file: int = 0
) -> Shape:
    """Return the shape of a network that is there, in memory or without data."""
    config = whole.config.get_text_config()
    trees = [typical or _usual(config)]
    with _pretending(whole.config, manner) as model:
        learned, weights = _sizes(whole, manner, few=model.network)
        if manner.is_full and manner.compute != manner.stored:
            parts = (_count(model, manner, trees * count) for count in (MORE, 2 * MORE))
            found = _separated(*parts, num_tokens=MORE * trees[0].num_tokens)
        else:
            found = _count(model, manner, trees)
        logits, seen = _head(model)
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return Shape(
        layers=int(config.num_hidden_layers),
        width=int(config.hidden_size),
        vocabulary=int(config.vocab_size),
        number=manner.stored.itemsize,
        weights=weights,
        numbers=sum(p.numel() for p in _plain(whole)),
        file=file,
        learned=learned,
        is_full=manner.is_full,
        **found,
        logits=logits,
        seen=seen,
        rows=rows_at_once(int(config.vocab_size)),
        cache=2 * int(config.num_hidden_layers) * heads * width * manner.compute.itemsize,
    )


def skeleton(
    config: PretrainedConfig, manner: Manner, *, layers: int | None
) -> tuple[PreTrainedModel, Roles]:
    """Return a network without data, of all or the first `layers`, and the role that learns."""
    config = copy.deepcopy(config)
    inner = config.get_text_config()
    if layers is not None:
        inner.num_hidden_layers = layers
        if getattr(inner, "layer_types", None) is not None:
            inner.layer_types = inner.layer_types[:layers]
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config, dtype=manner.stored)
    assert isinstance(network, PreTrainedModel), f"{type(network)} is no transformers model"
    silence_dropout(network)
    network.set_attn_implementation(NAME)
    fuse(network)
    network.eval()
    roles = Roles(network)
    if layers is not None:
        _cast(roles, manner)
    return network, roles


def filled(network: PreTrainedModel, device: torch.device, value: float | None = None) -> None:
    """Give a network without data tensors on `device`: of one value, or of whatever."""
    made: dict[int, nn.Parameter] = {}

    def like(tensor: Tensor) -> Tensor:
        new = torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
        return new if value is None else new.fill_(value)

    for module in network.modules():
        for name, parameter in module._parameters.items():  # noqa: SLF001 -- the public way swaps in place
            if parameter is not None:
                if id(parameter) not in made:
                    made[id(parameter)] = nn.Parameter(
                        like(parameter), requires_grad=parameter.requires_grad
                    )
                module._parameters[name] = made[id(parameter)]  # noqa: SLF001 -- as above
        for name, buffer in module._buffers.items():  # noqa: SLF001 -- as above
            if buffer is not None:
                module._buffers[name] = like(buffer)  # noqa: SLF001 -- as above


def _cast(roles: Roles, manner: Manner) -> None:
    if manner.is_full:
        roles.add_full()
    else:
        roles.add_adapter(ROLE, manner.adapter, seed=0)
    if manner.is_checkpointed:
        roles.checkpoint_gradients()


def adapter_size(whole: PreTrainedModel, manner: Manner) -> int:
    """Return how many numbers an adapter on all layers of a network has."""
    few, _ = skeleton(whole.config, replace(manner, is_full=False), layers=FEW)
    return _learned(few, num_layers=int(whole.config.get_text_config().num_hidden_layers))


def _usual(config: PretrainedConfig) -> Tree:
    """Return a tree of usual lengths, as far as the model reads."""
    longest = getattr(config, "max_position_embeddings", None) or 180
    return tree([0] * min(60, longest // 3), [0] * min(120, longest - longest // 3))


def _sizes(whole: PreTrainedModel, manner: Manner, *, few: PreTrainedModel) -> tuple[int, int]:
    """Return how many numbers learn, and the bytes of all that are no adapter's."""
    plain = _plain(whole)
    weights = sum(p.numel() * p.element_size() for p in (*plain, *whole.buffers()))
    if manner.is_full:
        return sum(p.numel() for p in plain), weights
    num_layers = int(whole.config.get_text_config().num_hidden_layers)
    return _learned(few, num_layers=num_layers), weights


def _plain(whole: PreTrainedModel) -> list[nn.Parameter]:
    """Return the weights that are no adapter's."""
    return [p for name, p in whole.named_parameters() if "lora_" not in name]


def _learned(few: PreTrainedModel, *, num_layers: int) -> int:
    """Return how many numbers would learn if the few layers were `num_layers`."""

    def count(module: nn.Module) -> int:
        return sum(p.numel() for p in module.parameters() if p.requires_grad)

    return count(few) + count(_layers(few)[-1]) * (num_layers - FEW)


def _layers(few: PreTrainedModel) -> nn.ModuleList:
    """Return the layers of a network of few."""
    return next(m for m in few.modules() if isinstance(m, nn.ModuleList) and len(m) == FEW)


class _Tally(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own
    """Bytes of the tensors that are made inside of the block, and come and go."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.now = 0
        self.peak = 0
        self.made: list[int] = []  # sizes, one after another
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: tuple[type, ...],
        given: tuple[object, ...] = (),
        named: Mapping[str, object] | None = None,
    ) -> object:
        """Run an operation and see what it made; a view of what it was given is nothing new."""
        del types
        out = func(*given, **(named or {}))
        old = {_identity(t) for t in tree_iter((given, named)) if isinstance(t, Tensor)}
        for item in tree_iter(out):
            if isinstance(item, Tensor) and _identity(item) not in old | self._sizes.keys():
                self._see(item.untyped_storage())
        return out

    def _see(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata  # noqa: SLF001 -- as below
        self._sizes[key] = storage.nbytes()
        self.now += storage.nbytes()
        self.made.append(storage.nbytes())
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.now -= self._sizes.pop(key)


def _identity(tensor: Tensor) -> int:
    """Return what tells one memory from another; without data there is no address."""
    return int(tensor.untyped_storage()._cdata)  # noqa: SLF001 -- torch has no public one


@contextmanager
def _pretending(config: PretrainedConfig, manner: Manner) -> Iterator[Model]:
    """Give a network of few layers that learns; if it is large, its tensors have no data."""
    network, roles = skeleton(config, manner, layers=FEW)
    is_small = sum(p.numel() for p in network.parameters()) <= SMALL
    forget = matmul_attention._bias.cache_clear  # noqa: SLF001 -- what has no data must not be kept for real
    forget()
    try:
        with nullcontext() if is_small else FakeTensorMode(allow_non_fake_inputs=True):
            filled(network, manner.device, value=0.01 if is_small else None)
            for parameter in network.parameters():
                if parameter.requires_grad:  # gradients lie there, those of now only pass by
                    parameter.grad = torch.zeros_like(parameter)
            with roles.speaking(BASE if manner.is_full else ROLE):
                yield Model(network, manner.compute)
    finally:
        forget()


def _count(model: Model, manner: Manner, trees: list[Tree]) -> dict[str, Line]:
    """Return what a micro-batch of these trees takes in the layers, of tokens."""
    batch = make_batch(trees).to(model.device)
    with torch.no_grad():  # what is made once and kept from then on
        hidden_states(model, make_batch([tree([0])]).to(model.device))
    found = _learning(model, batch)
    if not manner.is_checkpointed:
        found["holes"] = 0
    with torch.no_grad(), _Tally() as tally:
        hidden_states(model, batch)
    found["looking"] = tally.peak
    return {name: Line(0, size / batch.num_tokens) for name, size in found.items()}


def _learning(model: Model, batch: Batch) -> dict[str, int]:
    """Return what a layer keeps, what is kept outside, what passes by, and what a layer makes."""
    marks: list[tuple[int, int]] = []
    with _Tally() as tally:
        for each in _layers(model.network):
            each.register_forward_hook(lambda *_: marks.append((tally.now, len(tally.made))))
        hidden = hidden_states(model, batch)
        kept = tally.now
        torch.autograd.backward(hidden, torch.ones_like(hidden))
    (first, start), (second, end) = marks[:FEW]  # layers that are computed again come later
    layer = second - first
    return {
        "layer": layer,
        "outside": kept - FEW * layer,
        "passing": max(0, tally.peak - kept),
        "holes": sum(tally.made[start:end]),
    }


def _separated(one: dict[str, Line], two: dict[str, Line], *, num_tokens: int) -> dict[str, Line]:
    """Return lines from the same counted at one number of tokens and at twice as many.

    Weights that are cast to another format do not depend on tokens: f + e·t = c(t)·t, hence
    e = 2c(2t) − c(t) and f = 2t (c(t) − c(2t)).
    """
    found = {}
    for name, line in one.items():
        each = max(0.0, 2 * two[name].each - line.each)
        found[name] = Line(max(0.0, (line.each - each) * num_tokens), each)
    return found


def _head(model: Model) -> tuple[Line, Line]:
    """Return what rows of logits take, learned from and looked at."""
    weight = model.network.get_output_embeddings().weight
    has_data = type(weight.data) is Tensor

    def peak(rows: int, *, learns: bool) -> int:
        hidden = torch.zeros(rows, weight.shape[1], device=model.device, requires_grad=learns)
        target = torch.zeros(rows, dtype=torch.int64, device=model.device)
        with torch.set_grad_enabled(learns), _Tally() as tally:
            logprobs = read_out(model, hidden, target).logprobs
            if learns:
                torch.autograd.backward(logprobs, torch.ones_like(logprobs))
        return int(tally.peak)

    most = min(SOME if has_data else MANY, rows_at_once(model.vocabulary))
    return _line(peak, most, learns=True), _line(peak, most, learns=False)


def rows_at_once(vocabulary: int) -> int:
    """Return how many rows of logits are computed at once, at most."""
    return max(16, CHUNK_BYTES // (4 * vocabulary))


def _line(peak: Callable[..., int], most: int, *, learns: bool) -> Line:
    """Return a line through a full chunk and half of one: fewer rows may peak elsewhere."""
    half, whole = (peak(rows, learns=learns) for rows in (most // 2, most))
    each = (whole - half) / (most - most // 2)
    return Line(whole - each * most, each)
