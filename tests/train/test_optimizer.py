import pytest
import torch
from torch import nn

from upbring.settings.training import TrainSettings
from upbring.train.optimizer import (
    ParameterGroup,
    learning_rate,
    make_optimizer,
    optimizer_state,
    restore_optimizer,
    set_learning_rate,
)


def rates(steps: int, **changes: object) -> list[float]:
    settings = TrainSettings(learning_rate=1.0, **changes)
    return [learning_rate(step, steps, settings) for step in range(steps)]


def test_the_warm_up_rises_in_equal_steps_to_the_peak() -> None:
    assert rates(10, warmup=4, lr_scheduler="constant") == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 1]
    assert rates(10, warmup=0.2, lr_scheduler="constant")[:3] == [0.5, 1, 1]


def test_the_last_step_has_the_final_rate() -> None:
    for schedule in ("cosine", "linear"):
        found = rates(8, warmup=2, lr_scheduler=schedule, min_lr_ratio=0.1)
        assert found[-1] == pytest.approx(0.1)
        assert found[1] == 1
        assert found[2:] == sorted(found[2:], reverse=True)


def test_linear_and_cosine_by_hand() -> None:
    assert rates(4, warmup=0, lr_scheduler="linear", min_lr_ratio=0) == [0.75, 0.5, 0.25, 0]
    half = rates(4, warmup=0, lr_scheduler="cosine", min_lr_ratio=0)[1]  # (1 + cos(π / 2)) / 2
    assert half == pytest.approx(0.5)


def test_matrices_decay_and_vectors_do_not_and_groups_have_their_own_rate() -> None:
    matrix, vector, other = (nn.Parameter(torch.ones(s)) for s in ((2, 2), (2,), (2, 2)))
    groups = [
        ParameterGroup({"m": matrix, "v": vector}),
        ParameterGroup({"o": other}, lr_multiplier=0.5),
    ]
    optimizer = make_optimizer(groups, TrainSettings(weight_decay=0.1))
    set_learning_rate(optimizer, 0.01)
    found = {
        id(p): (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]
    }
    assert found == {id(matrix): (0.01, 0.1), id(vector): (0.01, 0), id(other): (0.005, 0.1)}


def test_a_restored_optimizer_takes_the_same_step_bit_for_bit() -> None:
    def step(parameter: nn.Parameter, optimizer: torch.optim.Optimizer, i: int) -> None:
        parameter.grad = torch.sin(torch.arange(6.0).reshape(2, 3) * i)
        optimizer.step()

    def fresh() -> tuple[nn.Parameter, torch.optim.Optimizer]:
        parameter = nn.Parameter(torch.ones(2, 3))
        return parameter, make_optimizer([ParameterGroup({"p": parameter})], TrainSettings())

    one, optimizer = fresh()
    step(one, optimizer, 1)
    other, restored = fresh()
    other.data.copy_(one.data)
    state = {n: t.clone() for n, t in optimizer_state(optimizer, {one: "p"}).items()}
    assert set(state) == {"p/step", "p/exp_avg", "p/exp_avg_sq"}
    restore_optimizer(restored, {other: "p"}, state)
    for parameter, each in ((one, optimizer), (other, restored)):
        step(parameter, each, 2)
    assert torch.equal(one, other)


def test_the_first_step_of_adamw_by_hand() -> None:
    # m̂ = g, v̂ = g²: the step is lr · g / (|g| + ε), and decay takes lr · λ · θ.
    parameter = nn.Parameter(torch.tensor([[2.0]]))
    optimizer = make_optimizer(
        [ParameterGroup({"p": parameter})], TrainSettings(weight_decay=0.5, adam_epsilon=1e-12)
    )
    set_learning_rate(optimizer, 0.1)
    parameter.grad = torch.tensor([[-3.0]])
    optimizer.step()
    assert parameter.item() == pytest.approx(2 - 0.1 * 0.5 * 2 + 0.1)
