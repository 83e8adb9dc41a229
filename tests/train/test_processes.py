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
from tests.train import together
from upbring.train import processes

ROOT = Path(__file__).parents[2]


def run(
    out: Path, *, count: int, num_trees: int
) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
    """Return gradients and facts of a step that `count` processes took together."""
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


@pytest.mark.parametrize("num_trees", [5, 1])
def test_two_processes_sum_to_the_gradient_of_one(tmp_path: Path, num_trees: int) -> None:
    alone, facts = run(tmp_path / "one", count=1, num_trees=num_trees)
    both, facts_of_both = run(tmp_path / "two", count=2, num_trees=num_trees)
    one = torch.cat([alone[name].flatten() for name in sorted(alone)])
    two = torch.cat([both[name].flatten() for name in sorted(both)])
    assert (one - two).norm() / one.norm() < tolerances.ACCUMULATED
    assert facts_of_both["nll"] == pytest.approx(facts["nll"], rel=1e-6)
    assert facts_of_both["wish"] is True
    assert facts_of_both["heard"] == "from 0"
    assert facts_of_both["mine"] <= facts["mine"]


def test_alone_everything_is_the_identity() -> None:
    parameter = nn.Parameter(torch.ones(2))
    parameter.grad = torch.tensor([1.0, 2.0])
    processes.sum_gradients([parameter])
    assert parameter.grad.tolist() == [1, 2]
    assert processes.total(torch.tensor([1.0, 2.0])).tolist() == [1, 2]
    assert processes.shared([5, 3, 9]) == [0, 1, 2]
    assert processes.told("x") == "x"
    assert not processes.agreed(wish=False)
    with processes.joined(torch.device("cpu")) as place, processes.first_goes_ahead():
        assert place.is_first
