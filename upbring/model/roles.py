"""Several roles on one base model in memory: LoRA adapters by name, and the base itself.

The active role belongs to a forward pass: gradient checkpointing recomputes a layer with the role
of its first computation, even if another role is active by then. PEFT's own switch also toggles
`requires_grad`, which drops a role's gradient between its forward and backward pass; this one only
switches.

A role may have a head, which maps a hidden state to one number: a reward or a value. Heads are
stored outside the network, so that its parameters keep their names.

Full fine-tuning uses the same interface: its only role is the base, and no frozen reference
remains in it.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 -- torch's own short name for it
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.layer import Linear
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.pytorch_utils import Conv1D

from upbring.errors import InputError, format_value
from upbring.maths import counter_rng
from upbring.model.adapter_config import read_adapter_config
from upbring.model.lora import ActiveAdapter, AdaptedLinear
from upbring.model.quantized import QuantizedLinear
from upbring.model.read_config import first_line
from upbring.model.target_modules import choose_target_modules
from upbring.settings.model import AdapterSettings

BASE = "base"  # the role with all adapters disabled


class Roles:
    """The roles of one model, and which of them is active."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.thread_adapter = ActiveAdapter()
        self.configs: dict[str, LoraConfig] = {}
        self.layers: dict[str, LoraLayer] = {}  # the adapted layers, by name
        self.heads: dict[str, nn.Linear] = {}
        model.requires_grad_(False)  # noqa: FBT003 -- torch's types lack the keyword

    @property
    def active_role(self) -> str:
        """The active role of this thread."""
        return self.thread_adapter.get() or BASE

    def add_adapter(self, role: str, settings: AdapterSettings, *, seed: int) -> list[str]:
        """Add a role equal to the base: a LoRA adapter with B = 0 and A sampled from `seed`.

        Return the weights of layers that have no adapter although the settings ask for all.
        """
        targets = choose_target_modules(self.model, settings.target_modules)
        config = LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,
            target_modules=targets.names,
            exclude_modules=targets.excluded,
            use_rslora=settings.rslora,
            use_dora=settings.dora,
            fan_in_fan_out=any(isinstance(m, Conv1D) for m in self.model.modules()),
            task_type="CAUSAL_LM",
        )
        self._inject(role, config)
        for name, layer in self._layers_of(role).items():
            A = layer.lora_A[role].weight  # [r, in]
            bound = 1 / math.sqrt(A.shape[1])
            noise = torch.empty(A.shape)
            noise.uniform_(
                -bound, bound, generator=counter_rng.make_generator(seed, "lora", role, name)
            )
            A.data.copy_(noise)
        for parameter in self.parameters(role).values():
            parameter.requires_grad = True
        return targets.left_out

    def _inject(self, role: str, config: LoraConfig, *, source: str = "target_modules") -> None:
        assert role not in self.configs, f"role {role!r} exists already"
        trainable = [p for p in self.model.parameters() if p.requires_grad]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about a second adapter, which is intended
                inject_adapter_in_model(config, self.model, adapter_name=role)
        except Exception as error:  # PEFT raises many types for values it does not expect
            raise InputError(
                f"{source}: PEFT cannot add an adapter to {format_value(config.target_modules)} of "
                f"this model ({first_line(error)}); use all-linear, or names such as q_proj,v_proj"
            ) from error
        self._find_layers()
        unsupported = [
            name for name, each in self.layers.items() if type(each) is not AdaptedLinear
        ]
        if unsupported:
            raise InputError(
                f"{source}: {unsupported[0]} is not a linear layer, and only linear layers "
                "can have adapters; merge that adapter with PEFT and load the merged model"
            )
        self.configs[role] = config
        for parameter in self.model.parameters():
            parameter.requires_grad = False
        for parameter in self.parameters(role).values():
            parameter.data = parameter.data.float()
        for parameter in trainable:
            parameter.requires_grad = True
        self.model.eval()  # PEFT's new layers begin in training mode

    def load_adapter(self, role: str, folder: Path, tensors: dict[str, Tensor]) -> None:
        """Add a role from a PEFT adapter's folder and the tensors of its file."""
        config = read_adapter_config(folder)
        config.base_model_name_or_path = None
        config.modules_to_save = None  # a reward head is stored outside the network
        config.inference_mode = False
        self._inject(role, config, source=str(folder))
        expected = {_peft_name(n, role): p for n, p in self._adapter_parameters(role).items()}
        missing, unexpected = (
            sorted(expected.keys() - tensors.keys()),
            sorted(tensors.keys() - expected.keys()),
        )
        if missing or unexpected:
            raise InputError(
                f"{folder}: the adapter does not match its base (missing tensors {missing[:2]}, "
                f"unexpected tensors {unexpected[:2]}); check base_model_name_or_path"
            )
        for name, parameter in expected.items():
            if parameter.shape != tensors[name].shape:
                raise InputError(
                    f"{folder}: {name} has shape {tuple(tensors[name].shape)}, and its base needs "
                    f"{tuple(parameter.shape)}; check base_model_name_or_path and r"
                )
        with torch.no_grad():
            for name, parameter in expected.items():
                parameter.copy_(tensors[name])

    def adapter_tensors(self, role: str) -> dict[str, Tensor]:
        """Return a role's tensors under their names in a PEFT adapter file."""
        return {_peft_name(n, role): p.detach() for n, p in self._adapter_parameters(role).items()}

    def _adapter_parameters(self, role: str) -> dict[str, nn.Parameter]:
        """Return the parameters of a role's adapter, without its head."""
        return {n: p for n, p in self.parameters(role).items() if "lora_" in n}

    def add_head(self, role: str, weight: Tensor | None = None, *, seed: int = 0) -> None:
        """Add a head to a role: with the given weight `[1, D]`, or sampled from `seed`."""
        assert role not in self.heads, f"role {role!r} already has a head"
        D = int(self.model.config.get_text_config().hidden_size)
        if weight is None:
            noise = torch.empty(1, D)
            deviation = 1 / math.sqrt(D + 1)  # Stiennon et al. 2020; Huang et al. 2024, detail 11
            weight = noise.normal_(
                0, deviation, generator=counter_rng.make_generator(seed, "head", role)
            )
        head = nn.Linear(D, 1, bias=False, device=self.model.device)
        with torch.no_grad():
            head.weight.copy_(weight)
        self.heads[role] = head

    def make_base_trainable(self) -> None:
        """Make every weight of the base trainable, in float32: its role is the base."""
        for parameter in self.model.parameters():
            parameter.data = parameter.data.float()
            parameter.requires_grad = True

    def parameters(self, role: str) -> dict[str, nn.Parameter]:
        """Return a role's parameters by name; for the base, all that belong to no adapter."""
        head_parameters = (
            {f"head.{role}.weight": self.heads[role].weight} if role in self.heads else {}
        )
        if role == BASE:
            matching = {n: p for n, p in self.model.named_parameters() if "lora_" not in n}
        else:
            all_parameters = self.model.named_parameters()
            matching = {n: p for n, p in all_parameters if f".{role}." in n and "lora_" in n}
        return matching | head_parameters

    @contextmanager
    def active(self, role: str) -> Iterator[None]:
        """Make `role` active in every forward pass inside the block."""
        previous = self.active_role
        self._activate(role)
        try:
            yield
        finally:
            self._activate(previous)

    def _find_layers(self) -> None:
        named = self.model.named_modules()
        self.layers = {name: layer for name, layer in named if isinstance(layer, LoraLayer)}
        for layer in self.layers.values():
            if type(layer) is Linear:  # the same layer with a faster forward pass
                layer.__class__ = AdaptedLinear
            layer.thread_adapter, layer.cached_factors = self.thread_adapter, None

    def _activate(self, role: str) -> None:
        assert role == BASE or role in self.configs, f"role {role!r} does not exist"
        self.thread_adapter.set(None if role == BASE else role)

    def enable_gradient_checkpointing(self) -> None:
        """Recompute activations in the backward pass, with the forward pass's role.

        transformers' own switch works in training mode only, in which dropout applies.
        """
        modules = dict(self.model.named_modules())
        layers = {n: m for n, m in modules.items() if isinstance(m, GradientCheckpointingLayer)}
        outermost = [
            layer
            for name, layer in layers.items()
            if not any(name.startswith(f"{other}.") for other in layers)
        ]
        if not outermost:
            raise InputError(
                f"gradient_checkpointing: {type(self.model).__name__} has no layers that can be "
                "recomputed; leave it out"
            )
        for layer in outermost:
            layer.forward = self._recomputed(layer.forward)

    def _recomputed(self, forward: Callable[..., object]) -> Callable[..., object]:
        """Return a layer's forward pass, of which the backward pass keeps only the inputs."""

        @wraps(forward)
        def recomputed(*args: object, **kwargs: object) -> object:
            if not torch.is_grad_enabled():
                return forward(*args, **kwargs)
            role = self.active_role

            def in_role(*args: object, **kwargs: object) -> object:
                with self.active(role):
                    return forward(*args, **kwargs)

            return checkpoint(partial(in_role, **kwargs), *args, use_reentrant=False)

        return recomputed

    @torch.no_grad()
    def merge(self, role: str) -> float:
        """Merge a role's adapter into the base, remove the role and return the largest rounding.

        The sum is computed in float32 and rounded once to the base's dtype. The role's head becomes
        the base's.
        """
        max_error = 0.0
        for layer in self.layers.values():
            base = layer.get_base_layer()
            if isinstance(base, QuantizedLinear):  # keeps the factors, without rounding
                base.merge(*_factors(layer, role))
                continue
            before = base.weight.data
            base.weight.data = before.float()
            layer.merge(adapter_names=[role])
            exact = base.weight.data
            base.weight.data = exact.to(before.dtype)
            max_error = max(max_error, float((base.weight.data.float() - exact).abs().max()))
            layer.merged_adapters.clear()
        if role in self.heads:
            self.heads[BASE] = self.heads[role]
        self.remove(role)
        return max_error

    def remove(self, role: str) -> None:
        """Remove a role and its head; removing the last one restores the original layers."""
        self.heads.pop(role, None)
        if self.active_role == role:
            self._activate(BASE)
        remaining = [name for name in self.configs if name != role]
        for name, layer in self.layers.items():
            if remaining:
                layer._active_adapter = remaining[:1]  # noqa: SLF001 -- else PEFT warns that it chooses one
                layer.delete_adapter(role)
                continue
            parent, _, leaf = name.rpartition(".")
            setattr(self.model.get_submodule(parent), leaf, layer.get_base_layer())
        del self.configs[role]
        self._find_layers()

    def factors(self, role: str) -> dict[str, tuple[Tensor, Tensor]]:
        """Return A `[r, in]` and scaled B `[out, r]` of each adapted layer: Δ = B A."""
        return {name: _factors(layer, role) for name, layer in self._layers_of(role).items()}

    def _layers_of(self, role: str) -> dict[str, LoraLayer]:
        """Return the layers that a role adapts, by name."""
        return {name: layer for name, layer in self.layers.items() if role in layer.lora_A}

    def add_factors(self, role: str, factors: dict[str, tuple[Tensor, Tensor]]) -> None:
        """Add a role whose Δ is given by its factors, in the form that `factors` returns."""
        ranks = {a.shape[0] for a, _ in factors.values()}
        assert len(ranks) == 1, f"all layers need the same rank, found {sorted(ranks)}"
        (rank,) = ranks
        config = LoraConfig(
            r=rank,
            lora_alpha=rank,
            target_modules=sorted(factors),
            fan_in_fan_out=any(isinstance(m, Conv1D) for m in self.model.modules()),
            task_type="CAUSAL_LM",
        )
        self._inject(role, config)
        with torch.no_grad():
            for name, layer in self._layers_of(role).items():
                A, B = factors[name]
                layer.lora_A[role].weight.copy_(A)
                layer.lora_B[role].weight.copy_(B)


def _factors(layer: LoraLayer, role: str) -> tuple[Tensor, Tensor]:
    """Return A `[r, in]` and scaled B `[out, r]` of a layer's adapter."""
    A, B = layer.lora_A[role].weight.detach(), layer.lora_B[role].weight.detach()
    return A, B * layer.scaling[role]


def _peft_name(parameter: str, role: str) -> str:
    """Return a parameter's name in a PEFT file: without the role, under `base_model.model.`.

    >>> _peft_name("model.layers.0.q_proj.lora_A.policy.weight", "policy")
    'base_model.model.model.layers.0.q_proj.lora_A.weight'
    >>> _peft_name("h.0.c_attn.lora_magnitude_vector.policy.weight", "policy")
    'base_model.model.h.0.c_attn.lora_magnitude_vector'
    """
    name = parameter.replace(f".{role}.", ".", 1)
    if "lora_magnitude_vector" in name:
        name = name.removesuffix(".weight")
    return f"base_model.model.{name}"


def sum_factors(
    *parts: dict[str, tuple[Tensor, Tensor]], signs: tuple[float, ...] | None = None
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return the factors of the sum of adapters: ranks concatenate, Σ ±BᵢAᵢ = [±B₁ … ][A₁; …].

    With sign −1 for the adapters that were merged into the base, an adapter trained on the original
    base becomes an equivalent adapter of the merged base.
    """
    signs = signs or (1.0,) * len(parts)
    names = sorted(set().union(*parts))
    ranks = {id(part): max(A.shape[0] for A, _ in part.values()) for part in parts}
    out = {}
    for name in names:
        A0, B0 = next(part[name] for part in parts if name in part)
        As, Bs = [], []
        for part, sign in zip(parts, signs, strict=True):
            r = ranks[id(part)]
            A, B = part.get(name, (A0.new_zeros(r, A0.shape[1]), B0.new_zeros(B0.shape[0], r)))
            missing = r - A.shape[0]  # ranks may differ between layers; zeros do not change Δ
            As.append(F.pad(A, (0, 0, 0, missing)))
            Bs.append(sign * F.pad(B, (0, missing)))
        out[name] = (torch.cat(As, 0), torch.cat(Bs, 1))
    return out
