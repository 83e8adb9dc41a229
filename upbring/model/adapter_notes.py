"""What a user should know about the adapter that the settings ask for, as log lines."""

from collections.abc import Iterator

from upbring.model.roles import Roles
from upbring.settings.model import AdapterSettings


def adapter_notes(roles: Roles, role: str, settings: AdapterSettings) -> Iterator[str]:
    """Yield a warning for a rank that no adapted matrix can use, and a note about DoRA."""
    sizes = {
        name: min(A.shape[1], B.shape[0])  # the highest rank of B A
        for name, (A, B) in roles.factors(role).items()
    }
    name, smallest = min(sizes.items(), key=lambda item: item[1])
    if settings.rank > smallest:
        num_small = sum(settings.rank > size for size in sizes.values())
        yield (
            f"rank: {settings.rank} is above the smallest side of {num_small} of {len(sizes)} "
            f"adapted matrices ({smallest} in {name}): there it adds parameters but no capacity; "
            f"use rank {smallest} or less"
        )
    if settings.dora:
        yield (
            "dora: slower and larger in memory than LoRA; vLLM loads no DoRA adapter, so export "
            "with --as merged"
        )
