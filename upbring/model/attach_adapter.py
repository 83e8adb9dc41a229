"""Attach another run's adapter to the loaded base, such as a reward model next to the policy.

An adapter file is relative to the full weights at the bottom of its chain. The base in memory
differs from those by the adapters that were merged into it. The new role therefore gets the
adapter's factors minus the merged ones: leading ranks that both share cancel exactly, and the other
merged ranks are subtracted.
"""

from collections.abc import Callable

import torch

from upbring.errors import InputError
from upbring.model.gguf.locate_model import locate_model
from upbring.model.load import (
    ADAPTER_HEAD_NAME,
    LayerFactors,
    LoadedModel,
    adapter_chain,
    adapter_tensors,
    locate_model_files,
    weights_sha256,
)
from upbring.model.roles import Roles, sum_factors
from upbring.runs.contract import Contract, read_contract

_TEMPORARY_ROLE = "incoming"


def is_attachable(loaded: LoadedModel, name: str, *, log: Callable[[str], None]) -> bool:
    """Whether `name` is an adapter trained on the base weights in memory."""
    files = locate_model_files(name, log=log)
    is_same_base = files.trained_quantization == loaded.quantization
    return (
        bool(files.adapters)
        and loaded.has_exact_factors
        and is_same_base
        and weights_sha256(files.base) == loaded.base_sha256
    )


def attach_adapter(
    loaded: LoadedModel, name: str, role: str, *, log: Callable[[str], None]
) -> Contract | None:
    """Attach the adapter `name` and its head as `role`; return its contract."""
    if not is_attachable(loaded, name, log=log):
        raise InputError(
            f"{name}: is not an adapter on {loaded.base} ({loaded.base_sha256[:12]}), so it cannot "
            "share the base model in memory; train it with --tune lora on the same base"
        )
    folder = locate_model(name)
    adapter_factors: LayerFactors = {}
    head = None
    for adapter in reversed(adapter_chain(folder)[1]):
        tensors = adapter_tensors(adapter)
        head = tensors.pop(ADAPTER_HEAD_NAME, None)
        loaded.roles.load_adapter(_TEMPORARY_ROLE, adapter, tensors)
        if loaded.roles.configs[_TEMPORARY_ROLE].use_dora:
            raise InputError(f"{name}: is a DoRA adapter, which cannot share a base; use LoRA")
        factors = _copy_factors(loaded.roles)
        loaded.roles.remove(_TEMPORARY_ROLE)
        adapter_factors = sum_factors(adapter_factors, factors) if adapter_factors else factors
    loaded.roles.add_factors(role, factor_difference(adapter_factors, loaded.factors))
    if head is not None:
        loaded.roles.add_head(role, head)
    contract_file = folder / "contract.json"
    return read_contract(contract_file) if contract_file.is_file() else None


def factor_difference(adapter: LayerFactors, merged: LayerFactors) -> LayerFactors:
    """Return the factors of adapter Δ − merged Δ, without the leading ranks that both share."""
    num_shared = _num_shared_ranks(adapter, merged)
    adapter_rest = {n: (A[num_shared:], B[:, num_shared:]) for n, (A, B) in adapter.items()}
    merged_rest = {n: (A[num_shared:], B[:, num_shared:]) for n, (A, B) in merged.items()}
    if _max_rank(merged_rest) == 0 and _max_rank(adapter_rest) > 0:
        return adapter_rest
    if _max_rank(merged_rest) == 0:  # the same model: Δ = 0
        return {
            n: (A.new_zeros(1, A.shape[1]), B.new_zeros(B.shape[0], 1))
            for n, (A, B) in adapter_rest.items()
        }
    if _max_rank(adapter_rest) == 0:
        return {n: (A, -B) for n, (A, B) in merged_rest.items()}
    return sum_factors(adapter_rest, merged_rest, signs=(1.0, -1.0))


def _num_shared_ranks(adapter: LayerFactors, merged: LayerFactors) -> int:
    """Return how many leading ranks are equal in both, in every layer."""
    if not merged or adapter.keys() != merged.keys():
        return 0
    count = min(_max_rank(adapter), _max_rank(merged))
    for name, (A, B) in merged.items():
        A2, B2 = adapter[name]
        is_same = (A[:count] == A2[:count]).all(1) & (B[:, :count] == B2[:, :count]).all(0)  # [r]
        count = int(torch.cumprod(is_same.long(), 0).sum())
    return count


def _max_rank(factors: LayerFactors) -> int:
    return max((A.shape[0] for A, _ in factors.values()), default=0)


def _copy_factors(roles: Roles) -> LayerFactors:
    return {n: (A.clone(), B.clone()) for n, (A, B) in roles.factors(_TEMPORARY_ROLE).items()}
