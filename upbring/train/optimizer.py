"""AdamW, its groups and its learning rate as a function of the step."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from upbring.settings.training import TrainSettings


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    """Parameters by name that learn at one rate, as a multiple of the settings' rate."""

    parameters: dict[str, nn.Parameter]
    rate: float = 1.0
    decay: float | None = field(default=None)  # unset: the settings'


def make_optimiser(groups: Iterable[ParameterGroup], settings: TrainSettings) -> torch.optim.AdamW:
    """Return AdamW; matrices decay, vectors (norms, biases) do not."""
    options = []
    for group in groups:
        decay = settings.weight_decay if group.decay is None else group.decay
        for is_matrix in (True, False):
            chosen = [p for p in group.parameters.values() if (p.ndim > 1) == is_matrix]
            if chosen:
                options.append(
                    {
                        "params": chosen,
                        "rate": group.rate,
                        "weight_decay": decay if is_matrix else 0.0,
                    }
                )
    return torch.optim.AdamW(
        options,
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        eps=settings.epsilon,
        foreach=True,
    )


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Let every group learn at `rate` times its own multiple."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["rate"]


def learning_rate(step: int, steps: int, settings: TrainSettings) -> float:
    """Return the learning rate of step 0 … steps − 1.

    It rises over the warm-up, (step + 1) / warm-up of the peak, then falls to `final_rate` of the
    peak, which the last step has.
    """
    share = settings.warm_up
    warm = math.ceil(share * steps) if share < 1 else int(share)
    if step < warm:
        return settings.learning_rate * (step + 1) / warm
    if settings.schedule == "constant":
        return settings.learning_rate
    progress = (step - warm + 1) / max(1, steps - warm)
    low = settings.final_rate
    fall = (1 + math.cos(math.pi * progress)) / 2 if settings.schedule == "cosine" else 1 - progress
    return settings.learning_rate * (low + (1 - low) * fall)


def optimiser_state(
    optimiser: torch.optim.Optimizer, names: dict[nn.Parameter, str]
) -> dict[str, Tensor]:
    """Return the optimiser's moments by parameter name, for a checkpoint."""
    return {
        f"{name}/{kind}": value
        for parameter, name in names.items()
        for kind, value in optimiser.state.get(parameter, {}).items()
    }


def restore_optimiser(
    optimiser: torch.optim.Optimizer, names: dict[nn.Parameter, str], state: dict[str, Tensor]
) -> None:
    """Put back what `optimiser_state` returned."""
    for parameter, name in names.items():
        kinds = {k.rpartition("/")[2]: v for k, v in state.items() if k.rpartition("/")[0] == name}
        if kinds:
            optimiser.state[parameter] = {
                kind: value.clone().to(value.device if kind == "step" else parameter.device)
                for kind, value in kinds.items()
            }
