"""A round trains on its pairs, from the model of the round before; a finished run is kept."""

import json
from pathlib import Path

import pytest

from tests.stages.redteam.hardening import make_settings
from upbring.stages.redteam.make_pairs import DEMONSTRATIONS, PAIRS
from upbring.stages.redteam.train_round import train_round


@pytest.mark.parametrize("method", ["dpo", "sft"])
def test_the_run_of_a_round_is_made_once(method: str, model_folder: Path, tmp_path: Path) -> None:
    settings = make_settings(tmp_path, model_folder, method=method)
    folder = tmp_path / "round-1"
    folder.mkdir()
    answers = {name: [{"role": "assistant", "content": name}] for name in ("good", "bad")}
    rows = [
        {
            "prompt": [{"role": "user", "content": f"Hi {i}"}],
            "chosen": answers["good"],
            "rejected": answers["bad"],
        }
        for i in range(4)
    ]
    (folder / PAIRS).write_text("".join(json.dumps(row) + "\n" for row in rows))
    shown = [{"messages": [*row["prompt"], *row["chosen"]]} for row in rows]
    (folder / DEMONSTRATIONS).write_text("".join(json.dumps(row) + "\n" for row in shown))
    run = train_round(settings, folder / PAIRS, model=str(model_folder), number=1)
    assert run.path == folder / method
    assert run.status() == "finished"
    weights = (run.model / "adapter_model.safetensors").read_bytes()
    again = train_round(settings, folder / PAIRS, model=str(model_folder), number=1)
    assert again.path == run.path
    assert (again.model / "adapter_model.safetensors").read_bytes() == weights
