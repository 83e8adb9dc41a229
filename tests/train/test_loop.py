"""A run that is stopped at any step and resumed equals one that was never stopped."""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console
from torch import Tensor

from tests.families import VOCABULARY, family
from tests.plain import random_trees
from upbring.algorithms.pretrain import Pretrain
from upbring.data.trees.batch import Batch
from upbring.data.trees.stream import Stream
from upbring.errors import DivergedError, Interrupted
from upbring.interruption import Interruption
from upbring.model.attention import ATTENTION_NAME
from upbring.model.network import Model
from upbring.model.roles import Roles
from upbring.runs.metrics import read_metrics
from upbring.runs.run_folder import Run
from upbring.settings.model import AdapterSettings
from upbring.settings.training import TrainSettings
from upbring.train import checkpoint, loop
from upbring.train.algorithm import EvalSample, Evaluation
from upbring.train.callbacks import Callbacks
from upbring.train.loop import Trainer
from upbring.train.optimizer import ParameterGroup
from upbring.train.progress import Progress
from upbring.train.run_log import DiskRunLog, NullRunLog

STEPS = 20
SETTINGS = TrainSettings(learning_rate=0.05, batch_size=3, eval_steps=5, save_steps=4, warmup=4)
TREES = random_trees(VOCABULARY, [(3, (5,)), (7, (4,)), (2, (9,)), (5, (2,))] * 4)
IDENTITY = {"data": "here"}
NO_CALLBACKS = Callbacks((), print)


def training(settings: TrainSettings = SETTINGS) -> Trainer:
    network = family("llama", attention=ATTENTION_NAME)
    roles = Roles(network)
    roles.add_adapter("policy", AdapterSettings(rank=2), seed=0)
    algorithm = Pretrain(
        model=Model(network),
        active=lambda: roles.active("policy"),
        trainable=[ParameterGroup(roles.parameters("policy"))],
        stream=Stream(TREES[4:], (), 0, 9.0, settings.batch_size),
        steps=STEPS,
        held_out=TREES[:4],
        micro_tokens=20,
        sample_responses=lambda: [EvalSample("?", "!")],
    )
    return Trainer(algorithm, settings, Interruption())


def open_run_log(path: Path) -> DiskRunLog:
    """Return the run log of the run at `path`, which is created if it does not exist."""
    run = Run.open(path) if path.exists() else Run.create(path.parent, "sft", name=path.name)
    quiet = Progress(STEPS, console=Console(quiet=True))
    return DiskRunLog(
        run, quiet, IDENTITY, SETTINGS.save_total_limit, lambda _: None, Callbacks((), print)
    )


Outcome = tuple[dict[str, Tensor], list[tuple[object, ...]], str, tuple[object, ...]]


def outcome(done: Trainer, run: Run) -> Outcome:
    """Return everything that must not depend on interruptions."""
    records = [
        (r.step, r.kind, {k: v for k, v in r.values.items() if k != "seconds"})
        for r in read_metrics(run.metrics_file)
    ]
    state = checkpoint.read(run.checkpoints / f"step-{STEPS}")
    best = (done.best.step, done.best.criterion)
    return dict(state.tensors), records, run.samples_file.read_text(), best


def assert_same(one: Outcome, other: Outcome) -> None:
    assert one[0].keys() == other[0].keys()
    assert all(torch.equal(tensor, other[0][name]) for name, tensor in one[0].items())
    assert one[1:] == other[1:]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    done = training()
    with open_run_log(tmp_path_factory.mktemp("runs") / "whole") as run_log:
        done.train(run_log)
    return outcome(done, run_log.run)


def interrupted(path: Path, step: int) -> None:
    """Run `step` steps and stop as after a signal."""
    first = training()
    first.interruption = StopAfter(first, step)
    with open_run_log(path) as run_log, pytest.raises(Interrupted):
        first.train(run_log)


class StopAfter(Interruption):
    """A signal at an exact step."""

    def __init__(self, stopped: Trainer, step: int) -> None:
        super().__init__()
        self.stopped, self.step = stopped, step

    @property
    def is_requested(self) -> bool:
        return self.stopped.step >= self.step


def load(path: Path) -> checkpoint.State:
    return checkpoint.load(path / "checkpoints", identity=IDENTITY, warn=lambda _: None)


def resumed(path: Path, state: checkpoint.State | None = None) -> Outcome:
    second = training()
    second.restore(state or load(path))
    with open_run_log(path) as run_log:
        run_log.truncate(second.step)
        second.train(run_log)
    return outcome(second, run_log.run)


@pytest.mark.parametrize("step", range(1, STEPS))
def test_stopped_and_resumed_gives_the_same_bits(whole: Outcome, tmp_path: Path, step: int) -> None:
    interrupted(tmp_path / "run", step)
    assert_same(whole, resumed(tmp_path / "run"))


def test_a_crash_between_checkpoints_leaves_no_trace(whole: Outcome, tmp_path: Path) -> None:
    first = training()
    take = first._train_step

    def crash(batches: Sequence[Batch]) -> dict[str, float]:
        if first.step == 11:
            raise RuntimeError("power")
        return take(batches)

    first._train_step = crash  # type: ignore[method-assign]  # a crash at an exact step
    with open_run_log(tmp_path / "run") as run_log, pytest.raises(RuntimeError, match="power"):
        first.train(run_log)
    steps = [r.step for r in read_metrics(run_log.run.metrics_file) if r.kind == "train"]
    assert steps[-1] == 11
    assert_same(whole, resumed(tmp_path / "run"))


def test_an_interrupted_evaluation_is_repeated(whole: Outcome, tmp_path: Path) -> None:
    first = training()

    def observe(_: int) -> Evaluation:
        raise Interrupted("stop")

    first.algorithm.evaluate = observe  # type: ignore[method-assign]  # a signal in an evaluation
    with open_run_log(tmp_path / "run") as run_log, pytest.raises(Interrupted):
        first.train(run_log)
    assert_same(whole, resumed(tmp_path / "run"))


def without(part: str) -> Callable[[checkpoint.State], checkpoint.State]:
    """Return a function that removes a part of a checkpoint."""
    return lambda state: dataclasses.replace(
        state, tensors={n: t for n, t in state.tensors.items() if part not in n}
    )


@pytest.mark.parametrize(
    "forget",
    [
        without("exp_avg_sq"),
        without("exp_avg"),
        without("/step"),
        without("optimizer/"),
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
    whole: Outcome,
    tmp_path: Path,
    forget: Callable[[checkpoint.State], checkpoint.State],
) -> None:
    interrupted(tmp_path / "run", 10)
    with pytest.raises((AssertionError, KeyError)):
        assert_same(whole, resumed(tmp_path / "run", forget(load(tmp_path / "run"))))


def test_the_best_checkpoint_is_kept_and_the_schedule_ends_with_the_steps(
    whole: Outcome, tmp_path: Path
) -> None:
    done = training()
    with open_run_log(tmp_path / "run") as run_log:
        done.train(run_log)
    steps = checkpoint.saved_steps(run_log.run.checkpoints)
    assert done.best.step in steps
    assert steps[-2:] == [16, 20]
    rates = [values["learning_rate"] for _, kind, values in whole[1] if kind == "train"]
    assert rates[0] == pytest.approx(0.05 / 4)
    assert rates[-1] == pytest.approx(0.005)
    assert len(rates) == STEPS


def test_non_finite_values_never_reach_the_weights(tmp_path: Path) -> None:
    broken = training()
    before = {n: p.detach().clone() for n, p in broken.parameters.items()}
    with torch.no_grad():
        broken.algorithm.model.network.model.norm.weight.fill_(float("nan"))
    refusal = pytest.raises(DivergedError, match="the step was not taken")
    with open_run_log(tmp_path / "run") as run_log, refusal:
        broken.train(run_log)
    assert all(torch.equal(before[n], p) for n, p in broken.parameters.items())


def test_the_time_of_a_step_excludes_evaluations_and_checkpoints(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    # only the loop's clock: a server in another thread, shared by tests, keeps the real one
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: now))
    times: list[float] = []

    @dataclasses.dataclass(frozen=True, slots=True)
    class SlowRunLog(NullRunLog):
        """Takes an hour to evaluate or to save."""

        def log_step(
            self, step: int, values: Mapping[str, float], *, tokens: int, seconds: float
        ) -> None:
            del step, values, tokens
            times.append(seconds)

        def log_evaluation(
            self, step: int, evaluation: Evaluation, *, is_best: bool, is_last: bool
        ) -> None:
            nonlocal now
            del step, evaluation, is_best, is_last
            now += 3600

        def save_checkpoint(self, state: checkpoint.State, *, protect: Collection[int]) -> None:
            nonlocal now
            del state, protect
            now += 3600

    training().train(SlowRunLog())
    assert times == [0.0] * STEPS
