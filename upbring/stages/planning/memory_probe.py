"""The memory profile of a model, from a training step of its first two layers without weights.

The step runs the real code on tensors without data (`FakeTensorMode`) and counts what is allocated
and freed. The difference between two layers and one gives the cost of each further layer; the rest
is arithmetic. Nothing is fitted, and nothing depends on the architecture. Small layers get real
tensors, which is faster.

Excluded: scratch memory inside of a kernel, which belongs to no tensor.
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
from upbring.errors import InputError
from upbring.model.attention import ATTENTION_NAME
from upbring.model.decoder import decoder_bytes
from upbring.model.kernels.tree_attention import clear_biases
from upbring.model.load_quantized import quantize_meta_network
from upbring.model.network import Model, hidden_states
from upbring.model.probe import PATH_ERRORS
from upbring.model.quantized import Quantization, num_weights, weight_bytes
from upbring.model.read_config import first_line
from upbring.model.roles import BASE, Roles
from upbring.model.score import CHUNK_BYTES, score_hidden_states
from upbring.settings.model import AdapterSettings
from upbring.stages.planning.estimate import LinearBytes, MemoryProfile

NUM_PROBE_LAYERS = 2  # the second one gives the cost of each further layer
PROBE_ROLE = "probe"
NUM_FAKE_ROWS = 2048  # rows of logits without data, enough to separate rows from fixed costs
NUM_REAL_ROWS = 512  # the same with data
MAX_REAL_PARAMETERS = 8_000_000  # of layers and head with data
NUM_CAST_TREES = 4  # and twice as many, to separate the cast of the weights from costs per token
QUANTIZED_GAPS = 0.5  # of the gaps that dense layers leave; measured on 8 billion weights


@dataclass(frozen=True, slots=True)
class ProbeConfig:
    """How a model is trained: its dtype, its role and its device."""

    compute_dtype: torch.dtype
    adapter: AdapterSettings
    is_full: bool
    is_checkpointed: bool
    device: torch.device
    quantization: Quantization | None = None  # of the frozen linear layers

    @property
    def weights_dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        return torch.float32 if self.is_full else self.compute_dtype


def profile_network(
    network: PreTrainedModel,
    probe_config: ProbeConfig,
    *,
    typical: Tree,
    file_bytes: int = 0,
) -> MemoryProfile:
    """Return the memory profile of a network, with data or on the meta device.

    `typical` is a tree of the usual lengths, `file_bytes` the size of the weight files.
    """
    config = network.config.get_text_config()
    trees = [typical]
    with _make_probe_model(network.config, probe_config) as model:
        num_trainable, num_bytes = _count_trainable_and_bytes(
            network, probe_config, probe_network=model.network
        )
        is_cast = probe_config.is_full and probe_config.compute_dtype != probe_config.weights_dtype
        if is_cast or probe_config.quantization is not None:
            profiles = (
                _profile_layers(model, probe_config, trees * count)
                for count in (NUM_CAST_TREES, 2 * NUM_CAST_TREES)
            )
            layer_lines = _separate_fixed_bytes(
                *profiles, num_tokens=NUM_CAST_TREES * trees[0].num_tokens
            )
        else:
            layer_lines = _profile_layers(model, probe_config, trees)
        if probe_config.quantization is not None:  # slices of weights leave none
            per_token = QUANTIZED_GAPS * layer_lines["recomputed_per_layer"].per_unit
            layer_lines["recomputed_per_layer"] = LinearBytes(0, per_token)
        training_logits, forward_logits = _profile_logits(model)
    num_heads = getattr(config, "num_attention_heads", 0)  # none in a state-space model
    num_kv_heads = getattr(config, "num_key_value_heads", None) or num_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // max(1, num_heads)
    return MemoryProfile(
        num_layers=int(config.num_hidden_layers),
        hidden_size=int(config.hidden_size),
        vocab_size=int(config.vocab_size),
        element_bytes=probe_config.weights_dtype.itemsize,
        weight_bytes=num_bytes,
        num_parameters=num_weights(network),
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
        decoder_bytes=decoder_bytes(network, probe_config.compute_dtype)
        if probe_config.device.type == "cpu"
        else 0,
    )


def make_meta_network(
    config: PretrainedConfig, probe_config: ProbeConfig, *, layers: int | None
) -> tuple[PreTrainedModel, Roles]:
    """Return a network on the meta device and its roles.

    With `layers` it has only the first ones, and a trainable role.
    """
    config = copy.deepcopy(config)
    inner = config.get_text_config()
    if layers is not None:
        inner.num_hidden_layers = layers
        if inner.__dict__.get("layer_types") is not None:  # elsewhere it follows the number
            inner.layer_types = inner.layer_types[:layers]
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config, dtype=probe_config.weights_dtype)
    assert isinstance(network, PreTrainedModel), f"{type(network)} is not a transformers model"
    if probe_config.quantization is not None:
        quantize_meta_network(network, probe_config.quantization, probe_config.compute_dtype)
    network.set_attn_implementation(ATTENTION_NAME)
    network.eval()
    roles = Roles(network)
    if layers is not None:
        _add_trainable_role(roles, probe_config)
    return network, roles


def fill_tensors(
    network: PreTrainedModel, device: torch.device, value: float | None = None
) -> None:
    """Replace a network's tensors by new ones on `device`, of one value or uninitialized."""
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


@torch.no_grad()
def supported_model(model: Model) -> Model:
    """Return the model with the path that its architecture computes at all, as it is loaded.

    Whether its log-probabilities are right is not checked: the weights are not read.
    """
    batch = make_batch([make_tree([0, 0], [0, 0], [0])]).to(model.device)
    try:
        hidden_states(model, batch)
    except PATH_ERRORS:
        slow = replace(model, is_packed=False)
    else:
        return model
    try:
        model.network.set_attn_implementation("eager")
        hidden_states(slow, batch)
    except PATH_ERRORS as error:
        raise InputError(
            f"{type(model.network).__name__}: cannot be planned, because its layers do not run "
            f"without its weights ({first_line(error)}); a run itself may work"
        ) from error
    return slow


def _add_trainable_role(roles: Roles, probe_config: ProbeConfig) -> None:
    if probe_config.is_full:
        roles.make_base_trainable()
    else:
        roles.add_adapter(PROBE_ROLE, probe_config.adapter, seed=0)
    if probe_config.is_checkpointed:
        roles.enable_gradient_checkpointing()


def count_adapter_parameters(network: PreTrainedModel, probe_config: ProbeConfig) -> int:
    """Return the number of parameters of an adapter on all layers of a network."""
    probe_network, _ = make_meta_network(
        network.config, replace(probe_config, is_full=False), layers=NUM_PROBE_LAYERS
    )
    return _count_trainable(
        probe_network, num_layers=int(network.config.get_text_config().num_hidden_layers)
    )


def _count_trainable_and_bytes(
    network: PreTrainedModel, probe_config: ProbeConfig, *, probe_network: PreTrainedModel
) -> tuple[int, int]:
    """Return the number of trainable parameters, and the bytes of the base."""
    weights = weight_bytes(network)
    if probe_config.is_full:
        return num_weights(network), weights
    num_layers = int(network.config.get_text_config().num_hidden_layers)
    return _count_trainable(probe_network, num_layers=num_layers), weights


def _count_trainable(probe_network: PreTrainedModel, *, num_layers: int) -> int:
    """Return the number of trainable parameters if the network had `num_layers` layers."""

    def count(module: nn.Module) -> int:
        return sum(p.numel() for p in module.parameters() if p.requires_grad)

    return count(probe_network) + count(_probe_layers(probe_network)[-1]) * (
        num_layers - NUM_PROBE_LAYERS
    )


def _probe_layers(probe_network: PreTrainedModel) -> nn.ModuleList:
    """Return the layers of the probe network."""
    return next(
        m
        for m in probe_network.modules()
        if isinstance(m, nn.ModuleList) and len(m) == NUM_PROBE_LAYERS
    )


class _AllocationTracker(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own
    """Counts the bytes of tensors that are allocated and freed inside of the block."""

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
        """Run an operation and count its new storages; a view of an input has none."""
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
    """Return an identifier of a tensor's storage; without data there is no address."""
    return int(tensor.untyped_storage()._cdata)  # noqa: SLF001 -- torch has no public one


@contextmanager
def _make_probe_model(config: PretrainedConfig, probe_config: ProbeConfig) -> Iterator[Model]:
    """Yield a trainable network of few layers; if it is large, its tensors have no data."""
    network, roles = make_meta_network(config, probe_config, layers=NUM_PROBE_LAYERS)
    is_small = num_weights(network) <= MAX_REAL_PARAMETERS
    clear_biases()
    try:
        with nullcontext() if is_small else FakeTensorMode(allow_non_fake_inputs=True):
            fill_tensors(network, probe_config.device, value=0.01 if is_small else None)
            for parameter in network.parameters():
                if parameter.requires_grad:  # so that the step only adds to gradients
                    parameter.grad = torch.zeros_like(parameter)
            with roles.active(BASE if probe_config.is_full else PROBE_ROLE):
                yield supported_model(Model(network, probe_config.compute_dtype))
    finally:
        clear_biases()  # tensors without data must not stay


def _profile_layers(
    model: Model, probe_config: ProbeConfig, trees: list[Tree]
) -> dict[str, LinearBytes]:
    """Return what a micro-batch of these trees takes in the layers, per token."""
    batch = make_batch(trees).to(model.device)
    with torch.no_grad():  # fills the caches
        hidden_states(model, make_batch([make_tree([0])]).to(model.device))
    sizes = _measure_training(model, batch)
    if not probe_config.is_checkpointed:
        sizes["recomputed_per_layer"] = 0
    with torch.no_grad(), _AllocationTracker() as tracker:
        hidden_states(model, batch)
    sizes["forward_temporaries"] = tracker.peak_bytes
    return {name: LinearBytes(0, size / batch.num_tokens) for name, size in sizes.items()}


def _measure_training(model: Model, batch: Batch) -> dict[str, int]:
    """Return the bytes that a step saves and frees inside and outside of a layer."""
    marks: list[tuple[int, int]] = []
    with _AllocationTracker() as tracker:
        for each in _probe_layers(model.network):
            each.register_forward_hook(
                lambda *_: marks.append((tracker.current_bytes, len(tracker.allocation_sizes)))
            )
        hidden = hidden_states(model, batch)
        saved = tracker.current_bytes
        torch.autograd.backward(hidden, torch.ones_like(hidden))
    (first, start), (second, end) = marks[:NUM_PROBE_LAYERS]  # recomputed layers come later
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
    """Return linear functions from the bytes per token at `num_tokens` tokens and at twice as many.

    The cast of the weights to another dtype does not depend on tokens: f + e·t = c(t)·t, hence
    e = 2c(2t) − c(t) and f = 2t (c(t) − c(2t)).
    """
    lines = {}
    for name, line in single.items():
        per_token = max(0.0, 2 * double[name].per_unit - line.per_unit)
        lines[name] = LinearBytes(max(0.0, (line.per_unit - per_token) * num_tokens), per_token)
    return lines


def _profile_logits(model: Model) -> tuple[LinearBytes, LinearBytes]:
    """Return what rows of logits take, with and without gradients."""
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
    """Return the largest number of rows of logits that are computed at once."""
    return max(16, CHUNK_BYTES // (4 * vocabulary))


def _fit_line(peak: Callable[..., int], max_rows: int, *, learns: bool) -> LinearBytes:
    """Return the line through a full chunk and half of one: fewer rows may peak elsewhere."""
    half, full = (peak(rows, learns=learns) for rows in (max_rows // 2, max_rows))
    per_row = (full - half) / (max_rows - max_rows // 2)
    return LinearBytes(full - per_row * max_rows, per_row)
