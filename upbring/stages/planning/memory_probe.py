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
from upbring.data.trees.tree import Tree, make_tree
from upbring.model import matmul_attention
from upbring.model.attention import ATTENTION_NAME
from upbring.model.fused_layers import fuse
from upbring.model.network import Model, disable_dropout, hidden_states
from upbring.model.roles import BASE, Roles
from upbring.model.score import CHUNK_BYTES, score_hidden_states
from upbring.settings.model import AdapterSettings
from upbring.stages.planning.estimate import LinearBytes, MemoryProfile

NUM_PROBE_LAYERS = 2  # layers: the second tells what one more takes
PROBE_ROLE = "counted"
NUM_FAKE_ROWS = 2048  # rows of logits, enough to tell rows from the rest
NUM_REAL_ROWS = 512  # the same where they have data
MAX_REAL_PARAMETERS = 8_000_000  # numbers of layers and head that may have data
NUM_CAST_TREES = 4  # trees, and twice as many, by which weights that are cast are told from tokens


@dataclass(frozen=True, slots=True)
class ProbeConfig:
    """How a model will learn: its number format, its role, its place."""

    compute_dtype: torch.dtype
    adapter: AdapterSettings
    is_full: bool
    is_checkpointed: bool
    device: torch.device

    @property
    def weights_dtype(self) -> torch.dtype:
        """The number format of the weights."""
        return torch.float32 if self.is_full else self.compute_dtype


def profile_config(
    config: PretrainedConfig,
    probe_config: ProbeConfig,
    *,
    typical: Tree | None = None,
    file_bytes: int = 0,
) -> MemoryProfile:
    """Return the shape of a model of this configuration that learns from trees like `typical`."""
    network, _ = make_meta_network(config, probe_config, layers=None)
    return profile_network(network, probe_config, typical=typical, file_bytes=file_bytes)


def profile_network(
    network: PreTrainedModel,
    probe_config: ProbeConfig,
    *,
    typical: Tree | None = None,
    file_bytes: int = 0,
) -> MemoryProfile:
    """Return the shape of a network that is there, in memory or without data."""
    config = network.config.get_text_config()
    trees = [typical or _default_tree(config)]
    with _make_probe_model(network.config, probe_config) as model:
        num_trainable, weight_bytes = _count_trainable_and_bytes(
            network, probe_config, probe_network=model.network
        )
        if probe_config.is_full and probe_config.compute_dtype != probe_config.weights_dtype:
            profiles = (
                _profile_layers(model, probe_config, trees * count)
                for count in (NUM_CAST_TREES, 2 * NUM_CAST_TREES)
            )
            layer_lines = _separate_fixed_bytes(
                *profiles, num_tokens=NUM_CAST_TREES * trees[0].num_tokens
            )
        else:
            layer_lines = _profile_layers(model, probe_config, trees)
        training_logits, forward_logits = _profile_logits(model)
    num_kv_heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return MemoryProfile(
        num_layers=int(config.num_hidden_layers),
        hidden_size=int(config.hidden_size),
        vocab_size=int(config.vocab_size),
        element_bytes=probe_config.weights_dtype.itemsize,
        weight_bytes=weight_bytes,
        num_parameters=sum(p.numel() for p in _base_parameters(network)),
        file_bytes=file_bytes,
        num_trainable=num_trainable,
        is_full=probe_config.is_full,
        **layer_lines,
        training_logits=training_logits,
        forward_logits=forward_logits,
        max_logit_rows=rows_at_once(int(config.vocab_size)),
        kv_cache_per_token=2
        * int(config.num_hidden_layers)
        * num_kv_heads
        * head_dim
        * probe_config.compute_dtype.itemsize,
    )


def make_meta_network(
    config: PretrainedConfig, probe_config: ProbeConfig, *, layers: int | None
) -> tuple[PreTrainedModel, Roles]:
    """Return a network without data, of all or the first `layers`, and the role that learns."""
    config = copy.deepcopy(config)
    inner = config.get_text_config()
    if layers is not None:
        inner.num_hidden_layers = layers
        if getattr(inner, "layer_types", None) is not None:
            inner.layer_types = inner.layer_types[:layers]
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config, dtype=probe_config.weights_dtype)
    assert isinstance(network, PreTrainedModel), f"{type(network)} is no transformers model"
    disable_dropout(network)
    network.set_attn_implementation(ATTENTION_NAME)
    fuse(network)
    network.eval()
    roles = Roles(network)
    if layers is not None:
        _add_trainable_role(roles, probe_config)
    return network, roles


def fill_tensors(
    network: PreTrainedModel, device: torch.device, value: float | None = None
) -> None:
    """Give a network without data tensors on `device`: of one value, or of whatever."""
    filled_parameters: dict[int, nn.Parameter] = {}

    def make_like(tensor: Tensor) -> Tensor:
        new = torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
        return new if value is None else new.fill_(value)

    for module in network.modules():
        for name, parameter in module._parameters.items():  # noqa: SLF001 -- the public way swaps in place
            if parameter is not None:
                if id(parameter) not in filled_parameters:
                    filled_parameters[id(parameter)] = nn.Parameter(
                        make_like(parameter), requires_grad=parameter.requires_grad
                    )
                module._parameters[name] = filled_parameters[id(parameter)]  # noqa: SLF001 -- as above
        for name, buffer in module._buffers.items():  # noqa: SLF001 -- as above
            if buffer is not None:
                module._buffers[name] = make_like(buffer)  # noqa: SLF001 -- as above


def _add_trainable_role(roles: Roles, probe_config: ProbeConfig) -> None:
    if probe_config.is_full:
        roles.make_base_trainable()
    else:
        roles.add_adapter(PROBE_ROLE, probe_config.adapter, seed=0)
    if probe_config.is_checkpointed:
        roles.enable_gradient_checkpointing()


def count_adapter_parameters(network: PreTrainedModel, probe_config: ProbeConfig) -> int:
    """Return how many numbers an adapter on all layers of a network has."""
    probe_network, _ = make_meta_network(
        network.config, replace(probe_config, is_full=False), layers=NUM_PROBE_LAYERS
    )
    return _count_trainable(
        probe_network, num_layers=int(network.config.get_text_config().num_hidden_layers)
    )


def _default_tree(config: PretrainedConfig) -> Tree:
    """Return a tree of usual lengths, as far as the model reads."""
    max_length = getattr(config, "max_position_embeddings", None) or 180
    return make_tree([0] * min(60, max_length // 3), [0] * min(120, max_length - max_length // 3))


def _count_trainable_and_bytes(
    network: PreTrainedModel, probe_config: ProbeConfig, *, probe_network: PreTrainedModel
) -> tuple[int, int]:
    """Return how many numbers learn, and the bytes of all that are no adapter's."""
    base_parameters = _base_parameters(network)
    weights = sum(p.numel() * p.element_size() for p in (*base_parameters, *network.buffers()))
    if probe_config.is_full:
        return sum(p.numel() for p in base_parameters), weights
    num_layers = int(network.config.get_text_config().num_hidden_layers)
    return _count_trainable(probe_network, num_layers=num_layers), weights


def _base_parameters(network: PreTrainedModel) -> list[nn.Parameter]:
    """Return the weights that are no adapter's."""
    return [p for name, p in network.named_parameters() if "lora_" not in name]


def _count_trainable(probe_network: PreTrainedModel, *, num_layers: int) -> int:
    """Return how many numbers would learn if the few layers were `num_layers`."""

    def count(module: nn.Module) -> int:
        return sum(p.numel() for p in module.parameters() if p.requires_grad)

    return count(probe_network) + count(_probe_layers(probe_network)[-1]) * (
        num_layers - NUM_PROBE_LAYERS
    )


def _probe_layers(probe_network: PreTrainedModel) -> nn.ModuleList:
    """Return the layers of a network of few."""
    return next(
        m
        for m in probe_network.modules()
        if isinstance(m, nn.ModuleList) and len(m) == NUM_PROBE_LAYERS
    )


class _AllocationTracker(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own
    """Bytes of the tensors that are made inside of the block, and come and go."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.current_bytes = 0
        self.peak_bytes = 0
        self.allocation_sizes: list[int] = []  # sizes, one after another
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: tuple[type, ...],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        """Run an operation and see what it made; a view of what it was given is nothing new."""
        del types
        out = func(*args, **(kwargs or {}))
        input_keys = {_storage_key(t) for t in tree_iter((args, kwargs)) if isinstance(t, Tensor)}
        for item in tree_iter(out):
            if (
                isinstance(item, Tensor)
                and _storage_key(item) not in input_keys | self._sizes.keys()
            ):
                self._track(item.untyped_storage())
        return out

    def _track(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata  # noqa: SLF001 -- as below
        self._sizes[key] = storage.nbytes()
        self.current_bytes += storage.nbytes()
        self.allocation_sizes.append(storage.nbytes())
        self.peak_bytes = max(self.peak_bytes, self.current_bytes)
        weakref.finalize(storage, self._release, key)

    def _release(self, key: int) -> None:
        self.current_bytes -= self._sizes.pop(key)


def _storage_key(tensor: Tensor) -> int:
    """Return what tells one memory from another; without data there is no address."""
    return int(tensor.untyped_storage()._cdata)  # noqa: SLF001 -- torch has no public one


@contextmanager
def _make_probe_model(config: PretrainedConfig, probe_config: ProbeConfig) -> Iterator[Model]:
    """Give a network of few layers that learns; if it is large, its tensors have no data."""
    network, roles = make_meta_network(config, probe_config, layers=NUM_PROBE_LAYERS)
    is_small = sum(p.numel() for p in network.parameters()) <= MAX_REAL_PARAMETERS
    clear_bias_cache = matmul_attention._causal_bias.cache_clear  # noqa: SLF001 -- what has no data must not be kept for real
    clear_bias_cache()
    try:
        with nullcontext() if is_small else FakeTensorMode(allow_non_fake_inputs=True):
            fill_tensors(network, probe_config.device, value=0.01 if is_small else None)
            for parameter in network.parameters():
                if parameter.requires_grad:  # gradients lie there, those of now only pass by
                    parameter.grad = torch.zeros_like(parameter)
            with roles.active(BASE if probe_config.is_full else PROBE_ROLE):
                yield Model(network, probe_config.compute_dtype)
    finally:
        clear_bias_cache()


def _profile_layers(
    model: Model, probe_config: ProbeConfig, trees: list[Tree]
) -> dict[str, LinearBytes]:
    """Return what a micro-batch of these trees takes in the layers, of tokens."""
    batch = make_batch(trees).to(model.device)
    with torch.no_grad():  # what is made once and kept from then on
        hidden_states(model, make_batch([make_tree([0])]).to(model.device))
    sizes = _measure_training(model, batch)
    if not probe_config.is_checkpointed:
        sizes["recomputed_per_layer"] = 0
    with torch.no_grad(), _AllocationTracker() as tracker:
        hidden_states(model, batch)
    sizes["forward_temporaries"] = tracker.peak_bytes
    return {name: LinearBytes(0, size / batch.num_tokens) for name, size in sizes.items()}


def _measure_training(model: Model, batch: Batch) -> dict[str, int]:
    """Return what a layer keeps, what is kept outside, what passes by, and what a layer makes."""
    marks: list[tuple[int, int]] = []
    with _AllocationTracker() as tracker:
        for each in _probe_layers(model.network):
            each.register_forward_hook(
                lambda *_: marks.append((tracker.current_bytes, len(tracker.allocation_sizes)))
            )
        hidden = hidden_states(model, batch)
        saved = tracker.current_bytes
        torch.autograd.backward(hidden, torch.ones_like(hidden))
    (first, start), (second, end) = marks[
        :NUM_PROBE_LAYERS
    ]  # layers that are computed again come later
    layer = second - first
    return {
        "layer_activations": layer,
        "other_activations": saved - NUM_PROBE_LAYERS * layer,
        "training_temporaries": max(0, tracker.peak_bytes - saved),
        "recomputed_per_layer": sum(tracker.allocation_sizes[start:end]),
    }


def _separate_fixed_bytes(
    single: dict[str, LinearBytes], double: dict[str, LinearBytes], *, num_tokens: int
) -> dict[str, LinearBytes]:
    """Return lines from the same counted at one number of tokens and at twice as many.

    Weights that are cast to another format do not depend on tokens: f + e·t = c(t)·t, hence
    e = 2c(2t) − c(t) and f = 2t (c(t) − c(2t)).
    """
    lines = {}
    for name, line in single.items():
        per_token = max(0.0, 2 * double[name].per_unit - line.per_unit)
        lines[name] = LinearBytes(max(0.0, (line.per_unit - per_token) * num_tokens), per_token)
    return lines


def _profile_logits(model: Model) -> tuple[LinearBytes, LinearBytes]:
    """Return what rows of logits take, learned from and looked at."""
    weight = model.network.get_output_embeddings().weight
    has_data = type(weight.data) is Tensor

    def peak(rows: int, *, learns: bool) -> int:
        hidden = torch.zeros(rows, weight.shape[1], device=model.device, requires_grad=learns)
        target = torch.zeros(rows, dtype=torch.int64, device=model.device)
        with torch.set_grad_enabled(learns), _AllocationTracker() as tracker:
            logprobs = score_hidden_states(model, hidden, target).logprobs
            if learns:
                torch.autograd.backward(logprobs, torch.ones_like(logprobs))
        return int(tracker.peak_bytes)

    max_rows = min(NUM_REAL_ROWS if has_data else NUM_FAKE_ROWS, rows_at_once(model.vocab_size))
    return _fit_line(peak, max_rows, learns=True), _fit_line(peak, max_rows, learns=False)


def rows_at_once(vocabulary: int) -> int:
    """Return how many rows of logits are computed at once, at most."""
    return max(16, CHUNK_BYTES // (4 * vocabulary))


def _fit_line(peak: Callable[..., int], max_rows: int, *, learns: bool) -> LinearBytes:
    """Return a line through a full chunk and half of one: fewer rows may peak elsewhere."""
    half, full = (peak(rows, learns=learns) for rows in (max_rows // 2, max_rows))
    per_row = (full - half) / (max_rows - max_rows // 2)
    return LinearBytes(full - per_row * max_rows, per_row)
