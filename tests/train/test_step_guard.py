"""What is not finite or leaps never reaches the weights, and the run goes on as if left out."""

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
    """Return a guard that has seen a stream which hardly varies."""
    guard = StepGuard(policy, limit)
    for i in range(count):
        guard.record_step({"loss": 2.0 + 0.1 * (i % 2), "gradient_norm": 0.7})
    return guard


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["loss", "gradient_norm", "log_ratio", "nll"])
@pytest.mark.parametrize("policy", ["skip", "stop", "off"])
def test_what_is_not_finite_is_a_fault_from_the_first_step_on(
    policy: Any, name: str, value: float
) -> None:
    assert StepGuard(policy, 1.0).fault({**QUIET, name: value}) == f"{name} {value} is not finite"


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        # the loss is 2.05 ± 0.05: six deviations are 0.3, half the mean is 1.025, which decides
        ({"loss": 3.07}, None),
        ({"loss": 3.08}, "loss 3.08 leaps above 2.05, the mean of the last 128 steps"),
        ({"loss": -9.0}, None),
        # the norm is always 0.7: nine times the mean decides, and 0.7 + 6.3 is 7
        ({"gradient_norm": 6.9}, None),
        ({"gradient_norm": 7.1}, "gradient_norm 7.1 leaps above 0.7, the mean of the last 128"),
        ({"log_ratio": 99.0}, None),  # never seen before
        ({"nll": 99.0}, None),  # is not watched for leaps
    ],
)
def test_a_leap_is_far_above_the_last_steps(values: dict[str, float], fault: str | None) -> None:
    found = calm().fault({**QUIET, **values})
    assert found == fault if fault is None else str(found).startswith(fault)


def test_six_deviations_decide_where_the_stream_varies() -> None:
    guard = StepGuard("skip", 0.0)
    for i in range(64):
        guard.record_step({"loss": 2.0 + 2 * (i % 2)})  # 3 ± 1
    assert guard.fault({"loss": 8.9}) is None
    assert guard.fault({"loss": 9.1}) is not None


def test_a_gradient_within_the_clips_limit_is_no_leap() -> None:
    assert calm(limit=8.0).fault({"gradient_norm": 7.9}) is None
    assert calm(limit=8.0).fault({"gradient_norm": 8.1}) is not None


def test_with_few_steps_seen_or_the_guard_off_nothing_leaps() -> None:
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


def test_three_bad_steps_of_ten_go_back_once_and_then_stop() -> None:
    guard = StepGuard()
    said = {step: guard.decide(step, is_bad=step in {1, 9, 11, 13, 30, 40, 41, 42}) for step in (
        *range(1, 14),
    )}  # fmt: skip
    assert {step: word for step, word in said.items() if word != "take"} == {
        1: "skip",
        9: "skip",
        11: "skip",  # step 1 is ten steps ago
        13: "go back",
    }
    guard.record_rollback(13, StepGuard().facts())
    assert guard.decide(24, is_bad=True) == "skip"  # later than ten steps after
    assert guard.decide(25, is_bad=True) == "skip"
    assert guard.decide(26, is_bad=True) == "stop"


def test_a_bad_step_right_after_going_back_stops() -> None:
    guard = StepGuard()
    guard.record_rollback(13, StepGuard().facts())
    assert guard.decide(23, is_bad=True) == "stop"


@pytest.mark.parametrize("policy", ["stop", "off"])
def test_other_policies_stop_at_the_first_fault(policy: Any) -> None:
    assert StepGuard(policy).decide(1, is_bad=True) == "stop"
    assert StepGuard(policy).decide(1, is_bad=False) == "take"


def test_only_what_was_saved_in_quiet_is_gone_back_to() -> None:
    guard = StepGuard()
    guard.record_checkpoint(5)
    guard.decide(8, is_bad=True)
    guard.record_checkpoint(10)
    assert guard.rollback_step == 5
    guard.record_checkpoint(18)
    assert guard.rollback_step == 18


def test_what_it_remembers_comes_back_bit_for_bit() -> None:
    guard = calm()
    guard.decide(200, is_bad=True)
    guard.record_rollback(201, guard.facts())
    other = StepGuard("skip", 1.0)
    other.restore(guard.facts())
    assert other == guard


class Poisoned:
    """An algorithm whose loss or gradient is spoilt in certain steps."""

    def __init__(self, sound: Pretrain, poisons: dict[int, str]) -> None:
        self.sound, self.poisons, self.now = sound, poisons, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sound, name)

    def batches(self, start: int) -> Iterator[Sequence[Batch]]:
        for step, batches in enumerate(self.sound.batches(start), start + 1):
            self.now = step
            yield batches

    def loss(self, batch: Batch) -> Terms:
        poison = SPOIL.get(self.poisons.get(self.now, ""), torch.clone)
        return {n: replace(t, loss=poison(t.loss)) for n, t in self.sound.loss(batch).items()}


def spoilt_gradient(value: float) -> Callable[[Tensor], Tensor]:
    def spoil(loss: Tensor) -> Tensor:
        loss = loss.clone()
        loss.register_hook(lambda gradient: gradient * value)
        return loss

    return spoil


SPOIL: dict[str, Callable[[Tensor], Tensor]] = {
    "loss nan": lambda loss: loss * math.nan,
    "loss inf": lambda loss: loss + math.inf,
    "loss leaps": lambda loss: loss * 1e3,
    "gradient nan": spoilt_gradient(math.nan),
    "gradient inf": spoilt_gradient(math.inf),
    "gradient leaps": spoilt_gradient(1e3),
}
SOONER = ("loss nan", "loss inf", "gradient nan", "gradient inf")  # found without a past


def poisoned(poisons: dict[int, str], *, steps: int = loop.STEPS, **changes: Any) -> Trainer:
    quiet = {"warmup": 0, "learning_rate": 0.005}  # ten times this leaps by itself
    training = loop.training(loop.SETTINGS.model_copy(update={**quiet, **changes}))
    training.algorithm = Poisoned(training.algorithm, poisons)  # type: ignore[assignment]
    training.algorithm.sound.steps = steps
    training.default_interval = max(1, steps // 10)
    return training


def leaving_out(steps: set[int], *, num_steps: int) -> Trainer:
    """Return what takes no notice of the rows of certain steps."""
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


def test_poison_at_random_places_is_never_applied(tmp_path: Path, figure: Figure) -> None:
    draw = random.Random(0)
    count = trials(6, 100)
    places = {33 + 8 * i + draw.randrange(4): draw.choice(list(SPOIL)) for i in range(count)}
    if count >= len(SPOIL):  # every kind
        places |= dict(zip(sorted(places), SPOIL, strict=False))
    num_steps = max(places) + 3
    ill = poisoned(places, steps=num_steps, eval_steps=num_steps, save_steps=num_steps)
    with loop.kept(tmp_path / "ill") as journal:
        ill.train(journal)
    left = set(places)
    reference = leaving_out(left, num_steps=num_steps)
    with loop.kept(tmp_path / "reference") as other:
        reference.train(other)
    assert_equal(weights(ill), weights(reference))
    records = read_metrics(journal.run.metrics_file)
    assert {r.step for r in records if "left_out" in r.values} == left
    lines = [line for _, line in read_lines(journal.run.path / "left_out.jsonl")]
    assert [line["step"] for line in lines] == sorted(left)
    assert all(line["rows"] and line["reason"] for line in lines)
    figure("poisoned steps, none of them applied", f"{len(left)} of {count}")


def test_the_rows_of_a_step_that_is_left_out_are_told(tmp_path: Path) -> None:
    told: list[str] = []
    training = poisoned({3: "loss nan"})
    with loop.kept(tmp_path / "run") as journal:
        journal.print_line = told.append  # type: ignore[method-assign]
        training.train(journal)
    file = journal.run.path / "left_out.jsonl"
    fault = "loss nan, nll nan, gradient_norm nan is not finite"
    assert told == [f"step 3: {fault}; it is left out, its rows are named in {file}"]
    keys = [tree.key for tree in training.algorithm.sound.stream.step_trees(2)]
    (line,) = [line for _, line in read_lines(file)]
    assert sorted(line["rows"]) == sorted(keys)


@pytest.mark.parametrize(("bad", "anchor"), [((6, 8, 9), 5), ((2, 3, 4), 0)])
def test_again_and_again_goes_back_to_the_last_quiet_checkpoint_once(
    tmp_path: Path, bad: tuple[int, ...], anchor: int
) -> None:
    training = poisoned(dict.fromkeys(bad, "gradient nan"))  # a checkpoint is due at 4, 5, 8 …
    seen: dict[int, dict[str, Tensor]] = {}
    go_back = training._roll_back

    def watch(*given: Any) -> None:
        go_back(*given)
        seen[training.step] = {n: t.clone() for n, t in training._state_tensors().items()}

    training._roll_back = watch  # type: ignore[method-assign]  # looks, and changes nothing
    told: list[str] = []
    with loop.kept(tmp_path / "run") as journal:
        journal.progress.print_line = told.append  # type: ignore[method-assign]  # listens
        training.train(journal)
    last = bad[-1]
    assert [*seen] == [last]
    quiet = poisoned({})
    if anchor:
        quiet.interruption = loop.StopAfter(quiet, anchor)
        with loop.kept(tmp_path / "quiet") as other, pytest.raises(Interrupted):
            quiet.train(other)
    assert_equal(seen[last], weights(quiet))
    expected = f"the weights are those of step {anchor} again; steps {anchor + 1} to {last} are pas"
    assert any(expected in text for text in told)
    assert training.step == loop.STEPS
    weights(training)


def test_what_goes_back_in_vain_stops_with_the_reason(tmp_path: Path) -> None:
    training = poisoned(dict.fromkeys(range(6, 20), "loss inf"))
    message = (
        r"step 9: .* is not finite, though the run went back at step 8; the step was not taken\."
    )
    with loop.kept(tmp_path / "run") as journal, pytest.raises(DivergedError, match=message) as why:
        training.train(journal)
    assert why.value.exit_code == 5
    assert checkpoint.saved_steps(journal.run.checkpoints)
    weights(training)


def test_without_the_checkpoint_to_go_back_to_it_stops(tmp_path: Path) -> None:
    training = poisoned(dict.fromkeys((6, 7, 8), "loss inf"))
    with loop.kept(tmp_path / "run") as journal:
        journal.checkpoint_path = lambda step: str(tmp_path / f"gone-{step}")  # type: ignore[method-assign]
        with pytest.raises(DivergedError, match="There is no checkpoint to go back to"):
            training.train(journal)


@pytest.mark.parametrize("policy", ["stop", "off"])
def test_a_guard_that_is_to_stop_does_so_at_once(tmp_path: Path, policy: Any) -> None:
    training = poisoned({3: "loss nan"}, guard=policy)
    with loop.kept(tmp_path / "run") as journal, pytest.raises(DivergedError, match="step 3: loss"):
        training.train(journal)


@pytest.mark.parametrize("step", range(4, 20, trials(4, 1)))
def test_stopped_and_resumed_around_bad_steps_is_never_stopped(tmp_path: Path, step: int) -> None:
    poisons = dict.fromkeys((5, 6, 8, 19), "gradient nan")  # goes back at 8, to 4
    whole = poisoned(poisons, eval_steps=20)
    with loop.kept(tmp_path / "whole") as journal:
        whole.train(journal)
    expected = loop.outcome(whole, journal.run)
    first = poisoned(poisons, eval_steps=20)
    first.interruption = loop.StopAfter(first, step)
    with loop.kept(tmp_path / "run") as other, pytest.raises(Interrupted):
        first.train(other)
    second = poisoned(poisons, eval_steps=20)
    second.restore(loop.load(tmp_path / "run"))
    with loop.kept(tmp_path / "run") as other:
        other.truncate(second.step)
        second.train(other)
    found = loop.outcome(second, other.run)
    assert_equal(expected[0], found[0])
    assert repr(expected[1:]) == repr(found[1:])  # as text, for nan is not nan
    files = [run.path / "left_out.jsonl" for run in (journal.run, other.run)]
    assert files[0].read_text() == files[1].read_text()
    assert second.guard == whole.guard
