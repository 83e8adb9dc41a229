"""transformers and peft load a run's `model/` folder directly."""

import json

import pytest
from safetensors import safe_open

from tests.export.exports import MESSAGES, Exported
from tests.tolerances import LOGPROBS
from upbring.data.chat.chat import make_chat
from upbring.data.chat.tokenizer_files import load_tokenizer
from upbring.data.read.records import Message
from upbring.runs.contract import read_contract


@pytest.mark.parametrize(
    "run", ["one", "two", "rs", "full", "upon-full", "dora", "gpt", "gpt-two", "gpt-full"]
)
def test_transformers_computes_the_same_log_probabilities(exported: Exported, run: str) -> None:
    assert exported.hf_logprobs(f"runs/{run}") == pytest.approx(
        exported.upbring_logprobs(run), abs=LOGPROBS
    )


def test_each_stage_changed_the_model(exported: Exported) -> None:
    base, one, two = (exported.hf_logprobs(name) for name in ("runs/full", "runs/one", "runs/two"))
    assert base != pytest.approx(one, abs=100 * LOGPROBS)
    assert one != pytest.approx(two, abs=100 * LOGPROBS)


def test_two_stages_are_one_adapter_on_the_original_base(exported: Exported) -> None:
    folder = exported.folder / "runs" / "two" / "model"
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str((exported.folder / "m").resolve())
    assert config["r"] == 16 + 4
    with safe_open(folder / "adapter_model.safetensors", framework="pt") as file:
        ranks = {file.get_slice(n).get_shape()[0] for n in file.keys() if "lora_A" in n}  # noqa: SIM118 -- not a mapping
    assert ranks == {16 + 4}


@pytest.mark.parametrize("name", ["runs/one/model", "out/merged-two", "out/adapter-two"])
def test_transformers_renders_and_encodes_the_same_dialogue(exported: Exported, name: str) -> None:
    folder = exported.folder / name
    contract = read_contract(folder / "contract.json")
    tokenizer = load_tokenizer(folder)
    chat = make_chat(tokenizer, template=contract.template)
    messages = [Message(m["role"], m["content"]) for m in MESSAGES]
    output = exported.outputs[name]
    assert output["rendered"] == [
        chat.render(messages, add_generation_prompt=False),
        chat.render(messages, add_generation_prompt=True),
    ]
    assert output["tokens"] == tokenizer.encode(output["rendered"][0])
    ends = output["eos"] if isinstance(output["eos"], list) else [output["eos"]]
    assert ends == [stop.token for stop in contract.stops] == list(chat.stop_token_ids)


def test_all_files_have_the_same_permissions(exported: Exported) -> None:
    folder = exported.folder / "runs" / "one" / "model"
    modes = {path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == {(folder / "manifest.json").stat().st_mode & 0o777}
