"""The adapters of all stages are one adapter on the original base."""

import json
from pathlib import Path

import pytest
from safetensors import safe_open

from tests.export.exports import Exported, unchecked, write_export
from tests.tolerances import LOGPROBS
from upbring.errors import InputError
from upbring.export.export_adapter import export_adapter


@pytest.mark.parametrize("run", ["one", "two", "gpt-two", "dora"])
def test_the_original_base_with_the_adapter_has_the_log_probabilities_of_the_run(
    exported: Exported, run: str
) -> None:
    found = exported.hf_logprobs(f"adapter/{run}")
    assert found == pytest.approx(exported.upbring_logprobs(run), abs=LOGPROBS)


def test_the_ranks_of_two_stages_add_up(exported: Exported) -> None:
    folder = exported.folder / "out" / "adapter-two"
    config = json.loads((folder / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (16 + 4, 16 + 4)
    assert config["base_model_name_or_path"] == "m"
    with safe_open(folder / "adapter_model.safetensors", framework="pt") as file:
        ranks = {file.get_slice(n).get_shape()[0] for n in file.keys() if "lora_A" in n}  # noqa: SIM118 -- not a mapping
    assert ranks == {16 + 4}


UPON_FULL = (
    r"upon-full: its adapter is on the weights of .*runs/full, where stage 'sft' trained all "
    r"weights \(tune: full\), so no adapter on the original base m gives this model; export it "
    "with --as merged"
)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ("full", r"runs/full: is a full model without an adapter; export it with --as merged"),
        ("upon-full", UPON_FULL),
    ],
)
def test_a_run_with_a_stage_of_full_weights_is_refused_by_its_name(
    exported: Exported, tmp_path: Path, run: str, message: str
) -> None:
    for library in ("peft", "mlx-lm"):
        with pytest.raises(InputError, match=message):
            export_adapter(
                str(exported.folder / "runs" / run),
                tmp_path / "x",
                library=library,  # type: ignore[arg-type]  # one of the two
                log=lambda _: None,
                check=unchecked,
            )
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_never_overwritten(exported: Exported, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="there: already exists; choose another --to"):
        write_export(exported.folder, "one", str(tmp_path / "there"), as_="peft")


def test_the_command_for_vllm_is_logged(exported: Exported, tmp_path: Path) -> None:
    lines = write_export(exported.folder, "two", str(tmp_path / "two"), as_="peft")
    assert lines[0].startswith("vLLM: vllm serve m --enable-lora --max-lora-rank 32 --lora-modules")
    assert lines[-1].endswith("verified with peft; log-probabilities differ by at most 0.0e+00")
