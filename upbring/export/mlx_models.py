"""Which models mlx-lm loads: it reads the folders of transformers, for architectures that it knows.

The names are those of its source (mlx_lm/models, version 0.32.2); a newer version may know more.
"""

from collections.abc import Callable

from upbring.errors import InputError
from upbring.model.load import locate_model_files

MLX_VERSION = "0.32.2"
_NAMES = """
afm7 afmoe apertus baichuan_m1 bailing_moe bailing_moe_linear bitnet cohere cohere2 dbrx
deepseek deepseek_v2 deepseek_v3 deepseek_v32 dots1 ernie4_5 ernie4_5_moe exaone exaone4
exaone_moe falcon_h1 falcon_mamba gemma gemma2 gemma3 gemma3_text gemma3n gemma4 gemma4_text glm
glm4 glm4_moe glm4_moe_lite glm_moe_dsa gpt2 gpt_bigcode gpt_neox gpt_oss granite granitemoe
granitemoehybrid helium hunyuan hunyuan_v1_dense internlm2 internlm3 jamba kimi_linear lfm2
lfm2_moe llama llama4 llama4_text longcat_flash mamba mamba2 mimo minicpm minicpm3 minimax
ministral3 mistral mistral3 mixtral nanochat nemotron nemotron_h olmo olmo2 olmo3 olmoe openelm
phi phi3 phimoe plamo plamo2 qwen qwen2 qwen2_moe qwen3 qwen3_5 qwen3_5_moe qwen3_moe qwen3_next
recurrent_gemma rwkv7 seed_oss smollm3 stablelm starcoder2
"""
MLX_ARCHITECTURES = frozenset(_NAMES.split())


def check_mlx_model(name: str, *, is_reward: bool, log: Callable[[str], None]) -> None:
    """Raise for a reward model, and log what to do if mlx-lm may not know the architecture."""
    if is_reward:
        raise InputError(
            f"{name}: is a reward model, and mlx-lm has no classifiers; export it with "
            "--as classifier"
        )
    architecture = str(locate_model_files(name).config.model_type)
    if architecture not in MLX_ARCHITECTURES:
        log(
            f"mlx-lm: version {MLX_VERSION} does not know the architecture {architecture}; check "
            "that yours does"
        )
