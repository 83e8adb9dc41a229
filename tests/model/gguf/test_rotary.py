from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from tests.gguf_models import LLAMA3_ROPE, file_content, load_kind, make_kind
from upbring.errors import InputError
from upbring.export.gguf.write_file import write_file
from upbring.model.gguf.header import read_header
from upbring.model.gguf.rotary import ROPE_TENSOR, find_llama3_scaling, llama3_factors


def test_the_divisors_are_those_of_transformers() -> None:
    rope = LLAMA3_ROPE | {"factor": 8.0}
    config = LlamaConfig(hidden_size=512, num_attention_heads=8, rope_parameters=rope)
    plain = 1.0 / (500000.0 ** (torch.arange(0, 64, 2).float() / 64))
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    divisors = llama3_factors(rope, 64)
    assert np.allclose(divisors, (plain / scaled).numpy(), rtol=1e-5)
    assert divisors[0] == 1
    assert divisors[-1] == 8


def test_the_parameters_are_found_by_their_divisors(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    write_file(tmp_path / "m.gguf", file_content(load_kind(make_kind(tmp_path / "m", "llama3"))))
    file = read_header(tmp_path / "m.gguf")
    assert file.tensors[ROPE_TENSOR].shape == (8,)
    found = find_llama3_scaling(file, 500000.0, 16)
    assert found == {key: value for key, value in LLAMA3_ROPE.items() if key != "rope_theta"}
    with pytest.raises(InputError, match="is none that upbring knows from Llama 3"):
        find_llama3_scaling(file, 12345.0, 16)
