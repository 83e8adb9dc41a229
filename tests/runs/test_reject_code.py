"""A model folder that asks for code or for a pickle is refused before anything reads it."""

import json
from pathlib import Path

import pytest

from upbring.errors import InputError
from upbring.runs.reject_code import PICKLE_SUFFIXES, reject_code


def model(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in ("config.json", *names):
        (folder / name).write_text("{}", encoding="utf-8")
    return folder


def refused(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        reject_code(folder)
    return str(caught.value)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_a_model_that_asks_to_run_code_is_refused(tmp_path: Path, name: str) -> None:
    folder = model(tmp_path / "base", "model.safetensors")
    (folder / name).write_text(json.dumps({"auto_map": {"AutoConfig": "x.Y"}}), encoding="utf-8")
    assert refused(folder) == (
        f"{folder / name}: auto_map requests custom code from the model folder, which upbring "
        "never runs; use a model with an architecture built into transformers"
    )


def test_a_model_with_code_is_refused(tmp_path: Path) -> None:
    folder = model(tmp_path / "base", "modeling.py", "model.safetensors")
    assert refused(folder) == (
        f"{folder / 'modeling.py'}: the model folder contains code; delete the file if you trust "
        "the rest of the folder"
    )


@pytest.mark.parametrize("suffix", PICKLE_SUFFIXES)
def test_weights_that_can_run_code_are_refused(tmp_path: Path, suffix: str) -> None:
    folder = model(tmp_path / "base", f"weights{suffix}")
    assert refused(folder) == (
        f"{folder / f'weights{suffix}'}: the weights are in a format that can run code, and "
        "upbring reads only safetensors; convert them with transformers, in a sandbox if you do "
        "not trust them"
    )
    (folder / "model.safetensors").write_bytes(b"")
    reject_code(folder)  # pickles next to safetensors are never read


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "../a.safetensors", "s/a.safetensors", "/a.safetensors", "", 3]
)
def test_an_index_may_only_name_safetensors_in_its_folder(tmp_path: Path, name: object) -> None:
    folder = model(tmp_path / "base", "a.safetensors", "pytorch_model.bin")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"x": "a.safetensors"}}))
    reject_code(folder)
    index.write_text(json.dumps({"weight_map": {"x": "a.safetensors", "y": name}}))
    assert f"{index}: weight_map names " in refused(folder)
    index.write_text(json.dumps({"weight_map": {"x": "b.safetensors"}}))
    assert "names b.safetensors, which is not in the folder" in refused(folder)
    index.write_text("{}")
    assert "has no weight_map" in refused(folder)
    index.rename(folder / "pytorch_model.bin.index.json")  # is not read
    reject_code(folder)


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("config.json", {"transformers_weights": "x"}, "names another file of weights"),
        ("config.json", {"a": [{"auto_map": {}}]}, "requests custom code"),
        ("config.json", {"attn_implementation": "owner/kernel"}, "code from a hub"),
        ("adapter_config.json", {"megatron_config": {}}, "makes peft import a module"),
        ("tokenizer_config.json", {"vocab_file": "../x"}, "outside of the folder"),
    ],
)
def test_configurations_may_not_name_code_or_foreign_files(
    tmp_path: Path, file: str, content: dict[str, object], problem: str
) -> None:
    folder = model(tmp_path / "base", "model.safetensors")
    (folder / file).write_text(json.dumps(content))
    assert problem in refused(folder)


def test_ordinary_configurations_are_accepted(tmp_path: Path) -> None:
    folder = model(tmp_path / "base", "model.safetensors")
    (folder / "config.json").write_text('{"_attn_implementation": "sdpa", "text_config": {}}')
    (folder / "tokenizer_config.json").write_text('{"vocab_file": "vocab.json", "x_file": null}')
    (folder / "adapter_config.json").write_text('{"megatron_config": null}')
    reject_code(folder)
