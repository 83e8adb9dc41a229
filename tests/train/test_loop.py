"""Stop at every step and go on: weights, optimiser and metrics are those of a run never stopped."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import Tensor

from tests.families import VOCABULARY, family
from tests.plain import random_trees
from upbring.algorithms.pretrain import Pretrain
from upbring.data.stream import Stream
from upbring.errors import DivergedError, Interrupted
from upbring.interruption import Interruption
from upbring.model.attention import NAME
from upbring.model.network import Model
from upbring.model.roles import Roles
from upbring.runs.folder import Run
from upbring.runs.metrics import read_metrics
from upbring.settings.model import AdapterSettings
from upbring.settings.train import TrainSettings
from upbring.train import checkpoint
from upbring.train.algorithm import Observations, Sample
from upbring.train.loop import Training
from upbring.train.optimiser import ParameterGroup
from upbring.train.progress import Progress

STEPS = 20
SETTINGS = TrainSettings(
    learning_rate=0.05, step_examples=3, evaluate_every=5, save_every=4, warm_up=4
)
TREES = random_trees(VOCABULARY, [(3, (5,)), (7, (4,)), (2, (9,)), (5, (2,))] * 4)
IDENTITY = {"data": "here"}


def training(path: Path, *, settings: TrainSettings = SETTINGS) -> Training:
    network = family("llama", attention=NAME)
    roles = Roles(network)
    roles.add_adapter("policy", AdapterSettings(rank=2), seed=0)
    algorithm = Pretrain(
        model=Model(network),
        speaking=lambda: roles.speaking("policy"),
        learned=[ParameterGroup(roles.parameters("policy"))],
        stream=Stream(TREES[4:], (), 0, 9.0, settings.step_examples),
        steps=STEPS,
        held_out=TREES[:4],
        micro_tokens=20,
        answer=lambda: [Sample("?", "!")],
    )
    run = Run.open(path) if path.exists() else Run.create(path.parent, "sft", name=path.name)
    return Training(algorithm, settings, run, IDENTITY, Interruption(), lambda _: None)


def quiet() -> Progress:
    return Progress(STEPS, console=Console(quiet=True))


def outcome(done: Training) -> tuple[dict[str, Tensor], list[tuple[object, ...]], str]:
    """Return all that must not depend on interruptions."""
    records = [
        (r.step, r.kind, {k: v for k, v in r.values.items() if k != "seconds"})
        for r in read_metrics(done.run.metrics_file)
    ]
    state = checkpoint.read(done.run.checkpoints / f"step-{STEPS}")
    return dict(state.tensors), records, done.run.samples_file.read_text()


def assert_same(one: Training, other: Training) -> None:
    (tensors, records, samples), (again, records_again, samples_again) = (
        outcome(one),
        outcome(other),
    )
    assert tensors.keys() == again.keys()
    assert all(torch.equal(tensors[name], again[name]) for name in tensors)
    assert records == records_again
    assert samples == samples_again
    assert (one.best.step, one.best.criterion) == (other.best.step, other.best.criterion)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Training:
    done = training(tmp_path_factory.mktemp("runs") / "whole")
    done.train(quiet())
    return done


def interrupted(path: Path, step: int) -> None:
    """Take `step` steps and stop as after a signal."""
    first = training(path)

    def poll() -> None:
        if first.step >= step:
            raise Interrupted("stop")

    first.interruption.poll = poll  # type: ignore[method-assign] -- a signal at an exact step
    with pytest.raises(Interrupted):
        first.train(quiet())


def resumed(path: Path) -> Training:
    second = training(path)
    state = checkpoint.load(second.run.checkpoints, identity=IDENTITY, warn=lambda _: None)
    second.restore(state)
    second.train(quiet())
    return second


@pytest.mark.parametrize("step", range(1, STEPS))
def test_stopped_and_resumed_is_never_stopped(whole: Training, tmp_path: Path, step: int) -> None:
    interrupted(tmp_path / "run", step)
    assert_same(whole, resumed(tmp_path / "run"))


def test_a_crash_between_checkpoints_leaves_no_trace(whole: Training, tmp_path: Path) -> None:
    first = training(tmp_path / "run")
    take = first._take

    def crash(batches: object) -> dict[str, float]:
        if first.step == 11:
            raise RuntimeError("power")
        return take(batches)  # type: ignore[arg-type] -- passed through

    first._take = crash  # type: ignore[method-assign,assignment] -- a crash at an exact step
    with pytest.raises(RuntimeError, match="power"):
        first.train(quiet())
    assert [r.step for r in read_metrics(first.run.metrics_file) if r.kind == "train"][-1] == 11
    assert_same(whole, resumed(tmp_path / "run"))


def test_an_interruption_while_observing_observes_again(whole: Training, tmp_path: Path) -> None:
    first = training(tmp_path / "run")

    def observe(_: int) -> Observations:
        raise Interrupted("stop")

    first.algorithm.observe = observe  # type: ignore[method-assign] -- a signal in an evaluation
    with pytest.raises(Interrupted):
        first.train(quiet())
    assert_same(whole, resumed(tmp_path / "run"))


def without(part: str) -> Callable[[checkpoint.State], checkpoint.State]:
    """Return what forgets a part of a checkpoint."""
    return lambda state: dataclasses.replace(
        state, tensors={n: t for n, t in state.tensors.items() if part not in n}
    )


@pytest.mark.parametrize(
    "forget",
    [
        without("exp_avg_sq"),
        without("exp_avg"),
        without("/step"),
        without("optimiser/"),
        lambda state: dataclasses.replace(state, step=state.step - 1),
        lambda state: dataclasses.replace(
            state, tensors={n: t * 1.0001 for n, t in state.tensors.items()}
        ),
        lambda state: dataclasses.replace(
            state, facts={**state.facts, "best_criterion": 0.0, "best_step": 1}
        ),
    ],
)
def test_each_thing_that_a_checkpoint_holds_is_needed(
    whole: Training,
    tmp_path: Path,
    forget: Callable[[checkpoint.State], checkpoint.State],
) -> None:
    interrupted(tmp_path / "run", 10)
    second = training(tmp_path / "run")
    state = checkpoint.load(second.run.checkpoints, identity=IDENTITY, warn=lambda _: None)
    with pytest.raises((AssertionError, KeyError)):
        second.restore(forget(state))
        second.train(quiet())
        assert_same(whole, second)


def test_the_best_checkpoint_is_kept_and_the_schedule_ends_with_the_steps(whole: Training) -> None:
    kept = checkpoint.steps(whole.run.checkpoints)
    assert whole.best.step in kept
    assert kept[-2:] == [16, 20]
    rates = [
        r.values["learning_rate"] for r in read_metrics(whole.run.metrics_file) if r.kind == "train"
    ]
    assert rates[0] == pytest.approx(0.05 / 4)
    assert rates[-1] == pytest.approx(0.005)
    assert len(rates) == STEPS


def test_what_is_not_finite_never_reaches_the_weights(tmp_path: Path) -> None:
    broken = training(tmp_path / "run")
    before = {n: p.detach().clone() for n, p in broken.parameters.items()}
    with torch.no_grad():
        broken.algorithm.model.network.model.norm.weight.fill_(float("nan"))  # type: ignore[attr-defined] -- Pretrain's
    with pytest.raises(DivergedError, match="the step was not taken"):
        broken.train(quiet())
    assert all(torch.equal(before[n], p) for n, p in broken.parameters.items())
