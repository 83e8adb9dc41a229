"""Another run's adapter as a role on the base in memory: a reward model beside the policy.

Adapters are written relative to the whole weights at the bottom, and the base in memory has moved
from there by what was folded into it. So the role's factors are theirs minus ours: what both begin
with cancels exactly, and the rest of ours is taken back with the opposite sign.
"""

from collections.abc import Callable

import torch

from upbring.errors import InputError
from upbring.model.load import HEAD, Factors, Loaded, adapter_tensors, chain, weights_sha256
from upbring.model.roles import Roles, stacked
from upbring.runs.contract import Contract, read_contract
from upbring.runs.find_model import locate

_INCOMING = "incoming"


def is_attachable(loaded: Loaded, name: str, *, notice: Callable[[str], None]) -> bool:
    """Whether `name` is an adapter on the weights that are in memory."""
    base, adapters = chain(locate(name, notice=notice))
    return bool(adapters) and loaded.is_exact and weights_sha256(base) == loaded.base_sha256


def attach(
    loaded: Loaded, name: str, role: str, *, notice: Callable[[str], None]
) -> Contract | None:
    """Add the adapter that `name` means as a role, with its head; return its contract."""
    if not is_attachable(loaded, name, notice=notice):
        raise InputError(
            f"{name}: is no adapter on {loaded.base} ({loaded.base_sha256[:12]}), so it cannot "
            "share the model in memory; train it with --tune lora from the same base"
        )
    folder = locate(name)
    theirs: Factors = {}
    head = None
    for adapter in reversed(chain(folder)[1]):
        tensors = adapter_tensors(adapter)
        head = tensors.pop(HEAD, None)
        loaded.roles.load_adapter(_INCOMING, adapter, tensors)
        if loaded.roles.configs[_INCOMING].use_dora:
            raise InputError(f"{name}: is a DoRA adapter, which cannot share a base; use lora")
        factors = _copied(loaded.roles)
        loaded.roles.drop(_INCOMING)
        theirs = stacked(theirs, factors) if theirs else factors
    loaded.roles.add_factors(role, difference(theirs, loaded.factors))
    if head is not None:
        loaded.roles.add_head(role, head)
    contract_file = folder / "contract.json"
    return read_contract(contract_file) if contract_file.is_file() else None


def difference(theirs: Factors, ours: Factors) -> Factors:
    """Return the factors of their Δ minus ours; ranks that both begin with are left out."""
    shared = _common(theirs, ours)
    rest = {n: (A[shared:], B[:, shared:]) for n, (A, B) in theirs.items()}
    taken = {n: (A[shared:], B[:, shared:]) for n, (A, B) in ours.items()}
    if _rank(taken) == 0 and _rank(rest) > 0:
        return rest
    if _rank(taken) == 0:  # the same model: a Δ of nothing
        return {
            n: (A.new_zeros(1, A.shape[1]), B.new_zeros(B.shape[0], 1))
            for n, (A, B) in rest.items()
        }
    if _rank(rest) == 0:
        return {n: (A, -B) for n, (A, B) in taken.items()}
    return stacked(rest, taken, signs=(1.0, -1.0))


def _common(theirs: Factors, ours: Factors) -> int:
    """Return how many ranks are the same in both, from the first on, in every layer."""
    if not ours or theirs.keys() != ours.keys():
        return 0
    count = min(_rank(theirs), _rank(ours))
    for name, (A, B) in ours.items():
        A2, B2 = theirs[name]
        same = (A[:count] == A2[:count]).all(1) & (B[:, :count] == B2[:, :count]).all(0)  # [r]
        count = int(torch.cumprod(same.long(), 0).sum())
    return count


def _rank(factors: Factors) -> int:
    return max((A.shape[0] for A, _ in factors.values()), default=0)


def _copied(roles: Roles) -> Factors:
    return {n: (A.clone(), B.clone()) for n, (A, B) in roles.factors(_INCOMING).items()}
