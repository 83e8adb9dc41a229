import json
from pathlib import Path

import pytest
from transformers import AutoConfig

from upbring.model.network import max_positions
from upbring.runs.model_limits import ModelLimits, find_limits


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gptj", "qwen2", "dbrx", "gemma3", "bloom"])
def test_the_limits_are_those_that_transformers_reads(tmp_path: Path, kind: str) -> None:
    config = AutoConfig.for_model(kind)
    config.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    vocabulary = config.get_text_config().vocab_size
    assert find_limits(written) == ModelLimits(max_positions(config), vocabulary)


def test_damaged_values_are_no_limits() -> None:
    assert find_limits({"max_position_embeddings": "x", "vocab_size": 0}) == ModelLimits(None, None)
    assert find_limits({"text_config": 7, "vocab_size": 5}) == ModelLimits(None, 5)
