import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tests import tolerances
from tests.conftest import IS_NIGHTLY
from tests.train import spread, together
from upbring.runs.metrics import read_metrics
from upbring.train import processes

ROOT = Path(__file__).parents[2]


def run(
    out: Path, *, count: int, num_trees: int
) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
    """Return gradients and facts of a step that `count` processes computed together."""
    out.mkdir()
    script = [str(Path(together.__file__)), str(out), str(num_trees)]
    launcher = [
        *("-m", "torch.distributed.run", "--nproc-per-node", str(count)),
        *("--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1"),
    ]
    done = subprocess.run(
        [sys.executable, *(launcher if count > 1 else []), *script],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return load_file(out / "gradients.safetensors"), json.loads((out / "facts.json").read_text())


@pytest.mark.parametrize("num_trees", [5, 1] if IS_NIGHTLY else [5])
def test_two_processes_sum_to_the_gradient_of_one(tmp_path: Path, num_trees: int) -> None:
    alone, facts = run(tmp_path / "one", count=1, num_trees=num_trees)
    both, facts_of_both = run(tmp_path / "two", count=2, num_trees=num_trees)
    one = torch.cat([alone[name].flatten() for name in sorted(alone)])
    two = torch.cat([both[name].flatten() for name in sorted(both)])
    assert (one - two).norm() / one.norm() < tolerances.ACCUMULATED
    assert facts_of_both["nll"] == pytest.approx(facts["nll"], rel=1e-6)
    assert facts_of_both["wish"] is True
    assert facts_of_both["received"] == "from 0"
    assert facts_of_both["all"] == ["from 0", "from 1"]
    assert facts_of_both["mine"] <= facts["mine"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_checkpoints_of_one_two_and_one_processes_follow_each_other(tmp_path: Path) -> None:
    curves = []
    for name, stages in (("one", ["1:20"]), ("turns", ["1:7", "2:13", "1:20"])):
        subprocess.run(
            [sys.executable, str(Path(spread.__file__)), str(tmp_path / name), *stages],
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            check=True,
            timeout=300,
        )
        curves.append(read_metrics(tmp_path / name / "metrics.jsonl"))
    one, turns = curves
    assert [(r.step, r.kind) for r in turns] == [(r.step, r.kind) for r in one]
    assert len([r for r in one if r.kind == "train"]) == 20
    for record, other in zip(one, turns, strict=True):
        assert other.values["nll"] == pytest.approx(record.values["nll"], abs=1e-5)
    first = [r.values["gradient_norm"] for r in turns if r.kind == "train"][7:13]
    alone = [r.values["gradient_norm"] for r in one if r.kind == "train"][7:13]
    assert first == pytest.approx(alone, rel=1e-4)
    assert first != alone  # two processes sum in another order, so two really ran


def test_all_gather_returns_the_texts_of_all_processes() -> None:
    assert processes.all_gather("x") == ["x"]


def test_frozen_parameters_get_no_gradient_from_several_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes, "process_group", lambda: processes.ProcessGroup(0, 2))
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda _: None)
    learns, follows = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2), requires_grad=False)
    processes.sum_gradients([learns, follows])
    assert learns.grad is not None
    assert follows.grad is None  # with a gradient, even zero, AdamW would decay it


def test_alone_everything_is_the_identity() -> None:
    parameter = nn.Parameter(torch.ones(2))
    parameter.grad = torch.tensor([1.0, 2.0])
    processes.sum_gradients([parameter])
    assert parameter.grad.tolist() == [1, 2]
    assert processes.all_reduce_sum(torch.tensor([1.0, 2.0])).tolist() == [1, 2]
    assert processes.shard([5, 3, 9]) == [0, 1, 2]
    assert processes.broadcast("x") == "x"
    assert not processes.any_process(flag=False)
    with processes.join_process_group(torch.device("cpu")) as place, processes.main_process_first():
        assert place.is_main_process
