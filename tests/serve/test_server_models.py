from pathlib import Path

import pytest
import torch

from tests.serve.engine.engines import load_small
from upbring.errors import InputError
from upbring.model.attention import AttentionConfig
from upbring.serve.engine.kv_pools import KVSpec
from upbring.serve.server_models import (
    ServerLimits,
    make_served_models,
    read_adapters,
    served_name,
    token_bytes,
)


def test_limits_are_those_of_the_model_unless_lower(model_folder: Path) -> None:
    loaded = load_small(model_folder)

    def length(wanted: int | None) -> int:
        limits = ServerLimits(max_model_len=wanted)
        return make_served_models(loaded, "m", [], limits=limits, log=print).engine.max_length

    assert (length(None), length(100)) == (256, 100)
    with pytest.raises(InputError, match="--max-model-len: 500 is more than the model's 256"):
        length(500)


def test_adapters_are_name_and_run() -> None:
    for wrong in ("polite", "=run", "polite="):
        with pytest.raises(InputError, match="is not NAME=RUN"):
            read_adapters([wrong])


def test_a_name_shows_no_path_of_the_machine(tmp_path: Path) -> None:
    assert served_name(str(tmp_path)) == tmp_path.name


def test_the_bytes_of_a_token_are_those_of_its_keys_and_values() -> None:
    spec = KVSpec(
        (AttentionConfig(1.0),) * 2, ((2, 4, 4),) * 2, torch.bfloat16, torch.device("cpu")
    )
    assert token_bytes(spec) == 2 * 2 * (4 + 4) * 2
