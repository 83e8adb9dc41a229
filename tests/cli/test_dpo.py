"""`upbring dpo` and the other preference methods from the command line: files, stops, errors."""

import math
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.commands import curve, done, hashes, upbring
from tests.preferences import METHODS, prepared, typed
from upbring.data.trees.batch import Batch
from upbring.runs.contract import read_contract
from upbring.train.loop import Trainer

QUIET = {"adapter_config.json", "manifest.json"}  # these two contain the path of the base


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = prepared(tmp_path_factory.mktemp("home"))
    for method in METHODS:
        done(folder, *typed(method), "--mix", "d.jsonl=0.2")
    return folder


def held(run: Path) -> list[dict[str, float]]:
    return [
        {k: float(str(v)) for k, v in each.items() if k != "kind"}
        for each in curve(run)
        if each["kind"] == "held_out"
    ]


# What each begins with: −log σ(0); its margin's square 1/(2 · 0.1) squared; 1 − σ(0).
@pytest.mark.parametrize(("method", "start"), [("dpo", math.log(2)), ("ipo", 25.0), ("kto", 0.5)])
def test_training_starts_at_the_reference(home: Path, method: str, start: float) -> None:
    first, *_, last = held(home / "runs" / f"{method}-1")
    assert first["loss"] == pytest.approx(start, abs=1e-6)
    assert first["kl"] == pytest.approx(0, abs=1e-6)
    assert first["chosen_logratio"] == pytest.approx(0, abs=1e-6)
    assert last["loss"] < first["loss"]
    assert last["kl"] > 0


@pytest.mark.parametrize("method", ["orpo", "simpo"])
def test_without_a_reference_it_learns_and_is_compared_with_its_base(
    home: Path, method: str
) -> None:
    first, *_, last = held(home / "runs" / f"{method}-1")
    assert first["chosen_logratio"] == pytest.approx(0, abs=1e-6)
    assert last["loss"] < first["loss"]
    assert last["kl"] > 0


@pytest.mark.parametrize("method", METHODS)
def test_the_model_can_be_chatted_with_and_trained_further(home: Path, method: str) -> None:
    run = home / "runs" / f"{method}-1"
    contract = read_contract(run / "contract.json")
    assert contract.kind == "policy"
    assert [stage.method for stage in contract.history] == [method]
    steps = [each for each in curve(run) if each["kind"] == "train"]
    assert len(steps) == 6
    assert any("replay" in each for each in steps)


def test_it_continues_from_a_run_and_its_reference_is_that_run(home: Path) -> None:
    done(home, *typed("dpo"), "--model", "runs/dpo-1", "--name", "again", "--steps", "2")
    assert held(home / "runs" / "again")[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    contract = read_contract(home / "runs" / "again" / "contract.json")
    assert [stage.method for stage in contract.history] == ["dpo", "dpo"]


@pytest.mark.parametrize(
    ("method", "is_cache_kept"),
    [*((method, True) for method in METHODS), ("dpo", False), ("kto", False)],
)
def test_interrupted_and_resumed_gives_the_same_bits(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, method: str, is_cache_kept: bool
) -> None:
    take = Trainer._train_step

    def taking(self: Trainer, batches: Sequence[Batch]) -> object:
        if self.step == 3:
            monkeypatch.setattr(Trainer, "_train_step", take)
            signal.raise_signal(signal.SIGTERM)
        return take(self, batches)

    monkeypatch.setattr(Trainer, "_train_step", taking)
    prepared(tmp_path)
    assert upbring(tmp_path, *typed(method), "--mix", "d.jsonl=0.2").code == 143
    if not is_cache_kept:
        shutil.rmtree(tmp_path / "cache")
    answer = done(tmp_path, "resume", f"runs/{method}-1")
    assert ("computing the log-probabilities" in answer.err) != is_cache_kept
    whole, run = (folder / "runs" / f"{method}-1" for folder in (home, tmp_path))
    ours, theirs = (hashes(each / "model") for each in (run, whole))
    assert {k: v for k, v in ours.items() if k not in QUIET} == {
        k: v for k, v in theirs.items() if k not in QUIET
    }
    assert curve(run) == curve(whole)
    assert (run / "samples.jsonl").read_text() == (whole / "samples.jsonl").read_text()


def test_full_fine_tuning_keeps_the_initial_weights_as_reference(tmp_path: Path) -> None:
    prepared(tmp_path)
    words = (*typed("dpo"), "--tune", "full", "--learning-rate", "0.001")
    done(tmp_path, *words)
    first, *_, last = held(tmp_path / "runs" / "dpo-1")
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert last["loss"] < first["loss"]
    assert "kl" not in last  # the reference is not in memory any more
    assert last["answer_length"] > 0
    again = done(tmp_path, *words)
    assert "computing the log-probabilities" not in again.err  # they were kept
    assert curve(tmp_path / "runs" / "dpo-1") == curve(tmp_path / "runs" / "dpo-2")


@pytest.mark.parametrize(
    "more",
    [
        ("--comparisons", "list"),
        ("--comparisons", "extremes", "--label-smoothing", "0.1"),
        ("--length-normalized", "--beta", "5", "--nll-weight", "0.2"),
        ("--mask-shared-tokens", "--soft-labels", "gdpo"),
        ("--gradient-checkpointing", "--micro-batch-tokens", "64"),
        ("--dora",),
    ],
)
def test_its_settings_can_be_combined(home: Path, more: tuple[str, ...]) -> None:
    name = more[0].strip("-") + more[1].strip("-") if len(more) > 1 else more[0].strip("-")
    done(home, *typed("dpo"), *more, "--steps", "2", "--name", name)
    first, *_ = held(home / "runs" / name)
    if "list" not in more:
        assert first["dpo"] == pytest.approx(math.log(2), abs=1e-6)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("d.jsonl",), "which gives "),
        (("none.jsonl",), "none.jsonl: "),
        (("r.jsonl", "--beta", "0"), "--beta"),
        (("r.jsonl", "--label-smoothing", "0.5"), "--label-smoothing"),
        (("r.jsonl", "--comparisons", "best"), "--comparisons"),
        (("r.jsonl", "--max-length", "3"), "no row to train on"),
        (("r.jsonl", "--soft-labels", "gdpo", "--comparisons", "list"), "gdpo scales the margins"),
    ],
)
def test_a_mistake_is_reported_and_no_run_is_created(
    home: Path, words: tuple[str, ...], message: str
) -> None:
    before = sorted((home / "runs").iterdir())
    answer = upbring(home, "dpo", *words, "--model", "m")
    assert answer.code == 2
    assert message in answer.err
    assert sorted((home / "runs").iterdir()) == before


def test_a_short_run_computes_the_reference_of_the_rows_that_it_uses(tmp_path: Path) -> None:
    """Twelve rows of 34; the rest of a large file would take longer than the steps."""
    folder = prepared(tmp_path)
    words = (*typed("dpo"), "--batch-size", "4", "--lr-scheduler", "constant", "--warmup", "0")
    whole = done(folder, *words, "--steps", "9", "--name", "whole")
    short = done(folder, *words, "--steps", "3", "--name", "short")
    assert "computing the log-probabilities of 38 rows" in whole.err
    assert "computing the log-probabilities of 12 rows" in short.err
    assert "computing the log-probabilities of 4 rows" in short.err  # the held-out ones
    whole_losses, short_losses = (
        [line["loss"] for line in curve(folder / "runs" / name) if line["kind"] == "train"]
        for name in ("whole", "short")
    )
    assert len(short_losses) == 3
    assert short_losses == pytest.approx(whole_losses[:3], abs=1e-5)
    assert short_losses[2] < 0.69  # not at the reference any more


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (("--epochs", "3", "--steps", "10"), 38),  # more than an epoch, less than half of three
        (("--epochs", "0.25", "--steps", "2"), 8),
    ],
)
def test_whether_a_run_is_short_is_measured_in_epochs(
    tmp_path: Path, words: tuple[str, ...], count: int
) -> None:
    answer = done(prepared(tmp_path), *typed("dpo"), "--batch-size", "4", *words)
    assert f"computing the log-probabilities of {count} rows" in answer.err
