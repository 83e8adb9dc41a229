"""What is pruned is never missed: an interrupted run ends as if nothing had been deleted."""

import json
import shutil
from pathlib import Path

import pytest

from tests.commands import SFT, done, hashes, prepare
from upbring.errors import InputError
from upbring.runs.run_folder import Run
from upbring.train.prune_checkpoints import PruneDecision, decide, delete

MANY = ("--save-steps", "1", "--save-total-limit", "9")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = prepare(tmp_path_factory.mktemp("home"))
    done(folder, *SFT, *MANY, "--name", "a")
    return folder


@pytest.fixture
def run(home: Path) -> Run:
    shutil.rmtree(home / "runs" / "b", ignore_errors=True)
    shutil.copytree(home / "runs" / "a", home / "runs" / "b")
    return Run(home / "runs" / "b")


def interrupt(run: Run, *, step: int) -> None:
    """Leave a run as a kill after a checkpoint would."""
    metadata = json.loads(run.metadata_file.read_text())
    run.metadata_file.write_text(json.dumps(metadata | {"finished_at": None}))
    shutil.rmtree(run.model)
    for later in range(step + 1, 7):
        shutil.rmtree(run.checkpoints / f"step-{later}")


def names(decision: PruneDecision) -> tuple[list[str], list[str]]:
    return [each.name for each in decision.deleted], [each.name for each in decision.kept]


def damage(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def test_a_finished_run_needs_no_checkpoint(run: Run) -> None:
    before = hashes(run.model)
    decision = decide(run)
    assert names(decision) == ([f"step-{i}" for i in range(7)], [])
    assert decision.num_bytes > 6 * 100_000
    delete(decision)
    assert list(run.checkpoints.iterdir()) == []
    assert hashes(run.model) == before
    assert decide(run).deleted == ()


def test_a_finished_run_whose_model_is_damaged_keeps_all(run: Run) -> None:
    damage(run.model / "adapter_model.safetensors")
    decision = decide(run)
    assert decision.deleted == ()
    assert (len(decision.kept), decision.reason) == (7, "its model is damaged")


def test_a_pruned_interrupted_run_is_resumed_to_the_same_bytes(home: Path, run: Run) -> None:
    interrupt(run, step=5)
    decision = decide(run)
    assert names(decision)[1] == ["step-3", "step-4", "step-5"]  # step 3 was the best until then
    delete(decision)
    assert sorted(each.name for each in run.checkpoints.iterdir()) == [
        "step-3",
        "step-4",
        "step-5",
    ]
    done(home, "resume", "runs/b")
    ours, theirs = hashes(run.model), hashes(home / "runs" / "a" / "model")
    assert ours["adapter_model.safetensors"] == theirs["adapter_model.safetensors"]


def test_a_damaged_checkpoint_does_not_count_as_one_of_the_two_newest(run: Run) -> None:
    interrupt(run, step=6)
    damage(run.checkpoints / "step-6" / "tensors.safetensors")
    assert names(decide(run))[1] == ["step-3", "step-4", "step-5", "step-6"]


def test_a_running_run_and_what_another_run_names_are_kept(run: Run) -> None:
    used = [run.checkpoints.resolve() / "step-2" / "tensors.safetensors"]
    decision = decide(run, used=used)
    assert (names(decision)[1], decision.reason) == (["step-2"], "another run names them")
    assert decide(run, used=[run.checkpoints.resolve()]).deleted == ()
    interrupt(run, step=6)
    with run.lock():
        decision = decide(run)
    assert (decision.deleted, decision.reason) == ((), "it is running")


def test_a_run_that_changed_since_the_decision_is_not_touched(run: Run) -> None:
    decision = decide(run)
    interrupt(run, step=6)
    with pytest.raises(InputError, match="b: was trained meanwhile; run the command again"):
        delete(decision)
    assert len(list(run.checkpoints.iterdir())) == 7
