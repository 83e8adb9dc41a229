"""Non-finite values and spikes never reach the weights, and the run goes on without them."""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.conftest import Figure, trials
from tests.train import test_loop as loop
from upbring.algorithms.pretrain import Pretrain
from upbring.data.trees.batch import Batch
from upbring.errors import DivergedError, Interrupted
from upbring.runs.metrics import read_lines, read_metrics
from upbring.train import checkpoint
from upbring.train.algorithm import Terms
from upbring.train.loop import StepResult, Trainer
from upbring.train.step_guard import MIN_HISTORY, StepGuard

QUIET = {"loss": 2.0, "gradient_norm": 0.7}


def calm(*, policy: Any = "skip", limit: float = 1.0, count: int = 128) -> StepGuard:
    """Return a guard that has seen steps which hardly vary."""
    guard = StepGuard(policy, limit)
    for i in range(count):
        guard.record_step({"loss": 2.0 + 0.1 * (i % 2), "gradient_norm": 0.7})
    return guard


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["loss", "gradient_norm", "log_ratio", "nll"])
@pytest.mark.parametrize("policy", ["skip", "stop", "off"])
def test_non_finite_values_are_a_fault_from_the_first_step_on(
    policy: Any, name: str, value: float
) -> None:
    assert StepGuard(policy, 1.0).fault({**QUIET, name: value}) == f"{name} {value} is not finite"


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        # the loss is 2.05 ± 0.05: six deviations are 0.3, half the mean is 1.025, which decides
        ({"loss": 3.07}, None),
        ({"loss": 3.08}, "loss 3.08 spikes above 2.05, the mean of the last 128 steps"),
        ({"loss": -9.0}, None),
        # the norm is always 0.7: nine times the mean decides, and 0.7 + 6.3 is 7
        ({"gradient_norm": 6.9}, None),
        ({"gradient_norm": 7.1}, "gradient_norm 7.1 spikes above 0.7, the mean of the last 128"),
        ({"log_ratio": 99.0}, None),  # never seen before
        ({"nll": 99.0}, None),  # is not watched for spikes
    ],
)
def test_a_spike_is_far_above_the_last_steps(values: dict[str, float], fault: str | None) -> None:
    found = calm().fault({**QUIET, **values})
    assert found == fault if fault is None else str(found).startswith(fault)


def test_the_threshold_is_six_deviations_if_the_losses_vary() -> None:
    guard = StepGuard("skip", 0.0)
    for i in range(64):
        guard.record_step({"loss": 2.0 + 2 * (i % 2)})  # 3 ± 1
    assert guard.fault({"loss": 8.9}) is None
    assert guard.fault({"loss": 9.1}) is not None


def test_a_gradient_norm_below_the_clipping_limit_is_no_spike() -> None:
    assert calm(limit=8.0).fault({"gradient_norm": 7.9}) is None
    assert calm(limit=8.0).fault({"gradient_norm": 8.1}) is not None


def test_with_a_short_history_or_the_guard_off_nothing_is_a_spike() -> None:
    assert calm(count=MIN_HISTORY - 1).fault({"loss": 99.0}) is None
    assert calm(count=MIN_HISTORY).fault({"loss": 99.0}) is not None
    assert calm(policy="off").fault({"loss": 99.0}) is None


def test_only_the_last_steps_count() -> None:
    guard = StepGuard("skip", 0.0)
    for _ in range(500):
        guard.record_step({"loss": 100.0})
    for _ in range(128):
        guard.record_step({"loss": 1.0})
    assert guard.fault({"loss": 2.0}) is not None


def test_three_bad_steps_of_ten_roll_back_once_and_then_stop() -> None:
    guard = StepGuard()
    bad = {1, 9, 11, 13}
    decisions = {step: guard.decide(step, is_bad=step in bad) for step in range(1, 14)}
    assert {step: decision for step, decision in decisions.items() if decision != "take"} == {
        1: "skip",
        9: "skip",
        11: "skip",  # step 1 is ten steps ago
        13: "go back",
    }
    guard.record_rollback(13, StepGuard().facts())
    assert guard.decide(24, is_bad=True) == "skip"  # later than ten steps after
    assert guard.decide(25, is_bad=True) == "skip"
    assert guard.decide(26, is_bad=True) == "stop"


def test_a_bad_step_right_after_a_rollback_stops() -> None:
    guard = StepGuard()
    guard.record_rollback(13, StepGuard().facts())
    assert guard.decide(23, is_bad=True) == "stop"


@pytest.mark.parametrize("policy", ["stop", "off"])
def test_other_policies_stop_at_the_first_fault(policy: Any) -> None:
    assert StepGuard(policy).decide(1, is_bad=True) == "stop"
    assert StepGuard(policy).decide(1, is_bad=False) == "take"


def test_only_checkpoints_without_recent_bad_steps_are_rolled_back_to() -> None:
    guard = StepGuard()
    guard.record_checkpoint(5)
    guard.decide(8, is_bad=True)
    guard.record_checkpoint(10)
    assert guard.rollback_step == 5
    guard.record_checkpoint(18)
    assert guard.rollback_step == 18


def test_its_state_is_restored_bit_for_bit() -> None:
    guard = calm()
    guard.decide(200, is_bad=True)
    guard.record_rollback(201, guard.facts())
    other = StepGuard("skip", 1.0)
    other.restore(guard.facts())
    assert other == guard


class Poisoned:
    """An algorithm with a corrupted loss or gradient in certain steps."""

    def __init__(self, sound: Pretrain, poisons: dict[int, str]) -> None:
        self.sound, self.poisons, self.now = sound, poisons, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sound, name)

    def batches(self, start: int) -> Iterator[Sequence[Batch]]:
        for step, batches in enumerate(self.sound.batches(start), start + 1):
            self.now = step
            yield batches

    def loss(self, batch: Batch) -> Terms:
        poison = CORRUPTIONS.get(self.poisons.get(self.now, ""), torch.clone)
        return {n: replace(t, loss=poison(t.loss)) for n, t in self.sound.loss(batch).items()}


def corrupted_gradient(value: float) -> Callable[[Tensor], Tensor]:
    def corrupt(loss: Tensor) -> Tensor:
        loss = loss.clone()
        loss.register_hook(lambda gradient: gradient * value)
        return loss

    return corrupt


CORRUPTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "loss nan": lambda loss: loss * math.nan,
    "loss inf": lambda loss: loss + math.inf,
    "loss spikes": lambda loss: loss * 1e3,
    "gradient nan": corrupted_gradient(math.nan),
    "gradient inf": corrupted_gradient(math.inf),
    "gradient spikes": corrupted_gradient(1e3),
}


def poisoned(poisons: dict[int, str], *, steps: int = loop.STEPS, **changes: Any) -> Trainer:
    quiet = {"warmup": 0, "learning_rate": 0.005}  # at 0.05 it spikes by itself
    training = loop.training(loop.SETTINGS.model_copy(update={**quiet, **changes}))
    training.algorithm = Poisoned(training.algorithm, poisons)  # type: ignore[assignment]
    training.algorithm.sound.steps = steps
    training.default_interval = max(1, steps // 10)
    return training


def leaving_out(steps: set[int], *, num_steps: int) -> Trainer:
    """Return a trainer that ignores the rows of certain steps."""
    training = poisoned({}, steps=num_steps, eval_steps=num_steps, save_steps=num_steps)
    take = training._train_step

    def taking(batches: Sequence[Batch]) -> StepResult:
        if training.step + 1 not in steps:
            return take(batches)
        training.step += 1
        return StepResult({})

    training._train_step = taking  # type: ignore[method-assign]
    return training


def weights(training: Trainer) -> dict[str, Tensor]:
    tensors = training._state_tensors()
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    return tensors


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_bad_steps_at_random_places_are_never_applied(tmp_path: Path, figure: Figure) -> None:
    draw = random.Random(0)
    count = trials(6, 100)
    places = {33 + 8 * i + draw.randrange(4): draw.choice(list(CORRUPTIONS)) for i in range(count)}
    if count >= len(CORRUPTIONS):  # include every kind
        places |= dict(zip(sorted(places), CORRUPTIONS, strict=False))
    num_steps = max(places) + 3
    ill = poisoned(places, steps=num_steps, eval_steps=num_steps, save_steps=num_steps)
    with loop.open_run_log(tmp_path / "ill") as run_log:
        ill.train(run_log)
    left = set(places)
    reference = leaving_out(left, num_steps=num_steps)
    with loop.open_run_log(tmp_path / "reference") as other:
        reference.train(other)
    assert_equal(weights(ill), weights(reference))
    records = read_metrics(run_log.run.metrics_file)
    assert {r.step for r in records if "left_out" in r.values} == left
    lines = [line for _, line in read_lines(run_log.run.path / "left_out.jsonl")]
    assert [line["step"] for line in lines] == sorted(left)
    assert all(line["rows"] and line["reason"] for line in lines)
    figure("poisoned steps, none of them applied", f"{len(left)} of {count}")


def test_the_rows_of_a_skipped_step_are_listed(tmp_path: Path) -> None:
    printed: list[str] = []
    training = poisoned({3: "loss nan"})
    with loop.open_run_log(tmp_path / "run") as run_log:
        run_log.print_line = printed.append  # type: ignore[method-assign]
        training.train(run_log)
    file = run_log.run.path / "left_out.jsonl"
    fault = "loss nan, nll nan, gradient_norm nan is not finite"
    assert printed == [f"step 3: {fault}; the step is skipped, its rows are listed in {file}"]
    keys = [tree.key for tree in training.algorithm.sound.stream.step_trees(2)]
    (line,) = [line for _, line in read_lines(file)]
    assert sorted(line["rows"]) == sorted(keys)


@pytest.mark.parametrize(("bad", "anchor"), [((6, 8, 9), 5), ((2, 3, 4), 0)])
def test_repeated_bad_steps_roll_back_to_the_last_good_checkpoint_once(
    tmp_path: Path, bad: tuple[int, ...], anchor: int
) -> None:
    training = poisoned(dict.fromkeys(bad, "gradient nan"))  # a checkpoint is due at 4, 5, 8 …
    seen: dict[int, dict[str, Tensor]] = {}
    go_back = training._roll_back

    def watch(*given: Any) -> None:
        go_back(*given)
        seen[training.step] = {n: t.clone() for n, t in training._state_tensors().items()}

    training._roll_back = watch  # type: ignore[method-assign]  # only observes
    printed: list[str] = []
    with loop.open_run_log(tmp_path / "run") as run_log:
        run_log.progress.print_line = printed.append  # type: ignore[method-assign]  # only records
        training.train(run_log)
    last = bad[-1]
    assert [*seen] == [last]
    quiet = poisoned({})
    if anchor:
        quiet.interruption = loop.StopAfter(quiet, anchor)
        with loop.open_run_log(tmp_path / "quiet") as other, pytest.raises(Interrupted):
            quiet.train(other)
    assert_equal(seen[last], weights(quiet))
    expected = f"of step {anchor}, the updates of steps {anchor + 1} to {last} are discarded"
    assert any(expected in text for text in printed)
    assert training.step == loop.STEPS
    weights(training)


def test_a_rollback_that_does_not_help_stops_with_the_reason(tmp_path: Path) -> None:
    training = poisoned(dict.fromkeys(range(6, 20), "loss inf"))
    message = r"step 9: .* is not finite, after a rollback at step 8; the step was not taken\."
    with (
        loop.open_run_log(tmp_path / "run") as run_log,
        pytest.raises(DivergedError, match=message) as why,
    ):
        training.train(run_log)
    assert why.value.exit_code == 5
    assert checkpoint.saved_steps(run_log.run.checkpoints)
    weights(training)


def test_without_a_checkpoint_to_roll_back_to_it_stops(tmp_path: Path) -> None:
    training = poisoned(dict.fromkeys((6, 7, 8), "loss inf"))
    with loop.open_run_log(tmp_path / "run") as run_log:
        run_log.checkpoint_path = lambda step: str(tmp_path / f"gone-{step}")  # type: ignore[method-assign]
        with pytest.raises(DivergedError, match="No checkpoint to roll back to"):
            training.train(run_log)


@pytest.mark.parametrize("policy", ["stop", "off"])
def test_a_guard_that_is_to_stop_does_so_at_once(tmp_path: Path, policy: Any) -> None:
    training = poisoned({3: "loss nan"}, guard=policy)
    with (
        loop.open_run_log(tmp_path / "run") as run_log,
        pytest.raises(DivergedError, match="step 3: loss"),
    ):
        training.train(run_log)


@pytest.mark.parametrize("step", range(4, 20, trials(4, 1)))
def test_stopped_and_resumed_around_bad_steps_gives_the_same_bits(
    tmp_path: Path, step: int
) -> None:
    poisons = dict.fromkeys((5, 6, 8, 19), "gradient nan")  # rolls back at 8, to 4
    whole = poisoned(poisons, eval_steps=20)
    with loop.open_run_log(tmp_path / "whole") as run_log:
        whole.train(run_log)
    expected = loop.outcome(whole, run_log.run)
    first = poisoned(poisons, eval_steps=20)
    first.interruption = loop.StopAfter(first, step)
    with loop.open_run_log(tmp_path / "run") as other, pytest.raises(Interrupted):
        first.train(other)
    second = poisoned(poisons, eval_steps=20)
    second.restore(loop.load(tmp_path / "run"))
    with loop.open_run_log(tmp_path / "run") as other:
        other.truncate(second.step)
        second.train(other)
    found = loop.outcome(second, other.run)
    assert_equal(expected[0], found[0])
    assert repr(expected[1:]) == repr(found[1:])  # as text, because nan != nan
    files = [run.path / "left_out.jsonl" for run in (run_log.run, other.run)]
    assert files[0].read_text() == files[1].read_text()
    assert second.guard == whole.guard
