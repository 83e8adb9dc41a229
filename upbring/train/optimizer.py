"""AdamW with parameter groups, and the learning rate as a function of the step."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from upbring.settings.training import TrainSettings


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    """Parameters by name that share a learning rate, given as a multiple of the settings' rate."""

    parameters: dict[str, nn.Parameter]
    lr_multiplier: float = 1.0
    weight_decay: float | None = field(default=None)  # None: the settings' value


def make_optimizer(groups: Iterable[ParameterGroup], settings: TrainSettings) -> torch.optim.AdamW:
    """Return AdamW with weight decay on matrices, but not on vectors (norms, biases)."""
    options = []
    for group in groups:
        weight_decay = settings.weight_decay if group.weight_decay is None else group.weight_decay
        for is_matrix in (True, False):
            parameters = [p for p in group.parameters.values() if (p.ndim > 1) == is_matrix]
            if parameters:
                options.append(
                    {
                        "params": parameters,
                        "rate": group.lr_multiplier,
                        "weight_decay": weight_decay if is_matrix else 0.0,
                    }
                )
    return torch.optim.AdamW(
        options,
        lr=settings.learning_rate,
        betas=(settings.adam_beta1, settings.adam_beta2),
        eps=settings.adam_epsilon,
        foreach=True,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set each group's learning rate to `rate` times its multiplier."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["rate"]


def learning_rate(step: int, steps: int, settings: TrainSettings) -> float:
    """Return the learning rate of step 0 … steps − 1.

    It rises linearly during warmup, (step + 1) / warmup steps of the peak, then falls to
    `min_lr_ratio` of the peak at the last step.
    """
    warmup = settings.warmup
    warmup_steps = math.ceil(warmup * steps) if warmup < 1 else int(warmup)
    if step < warmup_steps:
        return settings.learning_rate * (step + 1) / warmup_steps
    if settings.lr_scheduler == "constant":
        return settings.learning_rate
    progress = (step - warmup_steps + 1) / max(1, steps - warmup_steps)
    final_ratio = settings.min_lr_ratio
    decay = (
        (1 + math.cos(math.pi * progress)) / 2
        if settings.lr_scheduler == "cosine"
        else 1 - progress
    )
    return settings.learning_rate * (final_ratio + (1 - final_ratio) * decay)


def optimizer_state(
    optimizer: torch.optim.Optimizer, names: dict[nn.Parameter, str]
) -> dict[str, Tensor]:
    """Return the optimizer's moments by parameter name, for a checkpoint."""
    return {
        f"{name}/{kind}": value
        for parameter, name in names.items()
        for kind, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, names: dict[nn.Parameter, str], state: dict[str, Tensor]
) -> None:
    """Restore the state that `optimizer_state` returned."""
    for parameter, name in names.items():
        kinds = {k.rpartition("/")[2]: v for k, v in state.items() if k.rpartition("/")[0] == name}
        if kinds:
            optimizer.state[parameter] = {
                kind: value.clone().to(value.device if kind == "step" else parameter.device)
                for kind, value in kinds.items()
            }
