from pathlib import Path

import pytest
from peft import LoraConfig

from upbring.export.vllm_limits import vllm_lines

FOLDER = Path("out/mine")


def lines(*, has_head: bool = False, **config: object) -> list[str]:
    given = {"r": 16, "target_modules": ["q_proj", "v_proj"], **config}
    return vllm_lines(LoraConfig(**given), FOLDER, base="base", has_head=has_head)


def test_the_default_rank_needs_no_flag() -> None:
    assert lines() == [
        "vLLM: vllm serve base --enable-lora --lora-modules mine=out/mine",
        "vLLM: rank 16 on q_proj, v_proj",
    ]


@pytest.mark.parametrize(("rank", "limit"), [(17, 32), (48, 64), (257, 320), (321, 512)])
def test_a_higher_rank_gets_the_next_limit_that_vllm_has(rank: int, limit: int) -> None:
    assert f"--max-lora-rank {limit} " in lines(r=rank)[0]


def test_the_highest_rank_of_a_pattern_counts() -> None:
    assert "--max-lora-rank 64 " in lines(rank_pattern={"q_proj": 40})[0]
    assert lines(rank_pattern={"q_proj": 40})[1] == "vLLM: rank 40 on q_proj, v_proj"


def test_what_vllm_rejects_is_merged_instead() -> None:
    ending = "; for vLLM export with --as merged"
    assert lines(r=513) == [f"vLLM: loads ranks up to 512, not 513{ending}"]
    assert lines(use_dora=True) == [f"vLLM: loads no DoRA adapter{ending}"]
    (line,) = lines(has_head=True)
    assert line == f"vLLM: loads no adapter with a head (modules_to_save: score){ending}"


def test_whole_names_are_shown_by_their_last_part(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_text("x")
    config = LoraConfig(target_modules=["model.layers.0.self_attn.q_proj"])
    first, second = vllm_lines(config, tmp_path, base="base", has_head=False)
    assert first.endswith(f"--chat-template {tmp_path}/chat_template.jinja")
    assert second == "vLLM: rank 8 on q_proj"
