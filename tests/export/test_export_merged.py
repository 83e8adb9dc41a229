"""A merged export is a transformers model with the run's outputs, in one file or several."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM

from tests.export.exports import Exported, unchecked, write_export
from tests.tolerances import LOGPROBS
from upbring.errors import InputError
from upbring.export.export_merged import export_merged


def silent(_: str) -> None:
    pass


@pytest.mark.parametrize("run", ["one", "two", "dora", "full", "gpt-two", "gpt-full", "stacked"])
def test_an_export_has_the_log_probabilities_of_the_run(exported: Exported, run: str) -> None:
    found = exported.hf_logprobs(f"merged/{run}")
    assert found == pytest.approx(exported.upbring_logprobs(run), abs=LOGPROBS)


def test_shards_are_the_same_model_in_several_files_with_an_index(exported: Exported) -> None:
    folder = exported.folder / "out" / "shards"
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    files = sorted(path.name for path in folder.glob("*.safetensors"))
    assert len(files) > 1
    assert sorted(set(index["weight_map"].values())) == files
    assert all((folder / file).stat().st_size < 45_000 for file in files)
    found = exported.hf_logprobs("shards/two")
    assert found == pytest.approx(exported.upbring_logprobs("two"), abs=LOGPROBS)


def test_a_bfloat16_export_differs_only_by_rounding(exported: Exported, tmp_path: Path) -> None:
    found = exported.hf_logprobs("bfloat16/one")
    assert found == pytest.approx(exported.upbring_logprobs("one"), abs=0.02)
    size = (exported.folder / "out" / "bf" / "model.safetensors").stat().st_size
    whole = (exported.folder / "out" / "merged-one" / "model.safetensors").stat().st_size
    assert size == pytest.approx(whole / 2, rel=0.05)
    lines = write_export(exported.folder, "one", str(tmp_path / "again"), dtype="bfloat16")
    assert lines[0].startswith("bfloat16: rounding the weights changes log-probabilities by 0.00")


def test_the_checked_outputs_are_those_of_the_rounded_weights(
    exported: Exported, tmp_path: Path
) -> None:
    seen = []

    def check(folder: Path, expected: object, **_: object) -> float:
        network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        tokens = expected.sequences[3]  # type: ignore[attr-defined]
        with torch.no_grad():
            logits = network(torch.tensor([tokens])).logits[0]
        outputs = expected.outputs[3]  # type: ignore[attr-defined]
        seen.append(float((outputs[-320:] - logits[-1].log_softmax(-1)).abs().max()))
        return 0.0

    export_merged(
        str(exported.folder / "runs" / "one"),
        tmp_path / "x",
        dtype=torch.bfloat16,
        log=silent,
        check=check,
    )
    assert seen[0] < LOGPROBS  # rounding itself changes 1e-3


def test_a_tied_head_is_written_once(exported: Exported) -> None:
    name = "model.safetensors"
    before = (exported.folder / "g" / name).stat().st_size
    for run in ("gpt-two", "gpt-full"):
        after = (exported.folder / "out" / f"merged-{run}" / name).stat().st_size
        assert after == pytest.approx(before, rel=0.02)
    with safe_open(exported.folder / "out" / "merged-gpt-two" / name, framework="pt") as file:
        assert "lm_head.weight" not in file.keys()  # noqa: SIM118 -- not a mapping


def test_a_foreign_model_needs_no_export(exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="was not trained by upbring and needs no export"):
        export_merged(
            str(exported.folder / "m"),
            tmp_path / "x",
            dtype=torch.float32,
            log=silent,
            check=unchecked,
        )
    assert list(tmp_path.iterdir()) == []
