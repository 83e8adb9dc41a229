"""What vLLM's LoRA loader needs to load an exported adapter, or why it rejects it.

From its source (vllm/config/lora.py and vllm/lora/peft_helper.py).
"""

from pathlib import Path

from peft import LoraConfig

MAX_LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
DEFAULT_MAX_LORA_RANK = 16
AS_MERGED = "for vLLM export with --as merged"


def vllm_lines(config: LoraConfig, folder: Path, *, base: str, has_head: bool) -> list[str]:
    """Return the log lines about vLLM for an adapter on `base`."""
    if config.use_dora:
        return [f"vLLM: loads no DoRA adapter; {AS_MERGED}"]
    if has_head:
        return [f"vLLM: loads no adapter with a head (modules_to_save: score); {AS_MERGED}"]
    ranks = [config.r, *config.rank_pattern.values()]
    fitting = [limit for limit in MAX_LORA_RANKS if limit >= max(ranks)]
    if not fitting:
        return [f"vLLM: loads ranks up to {MAX_LORA_RANKS[-1]}, not {max(ranks)}; {AS_MERGED}"]
    flags = ["--enable-lora"]
    if fitting[0] > DEFAULT_MAX_LORA_RANK:
        flags.append(f"--max-lora-rank {fitting[0]}")
    flags.append(f"--lora-modules {folder.name}={folder}")
    if (folder / "chat_template.jinja").is_file():
        flags.append(f"--chat-template {folder / 'chat_template.jinja'}")
    targets = config.target_modules
    names = [targets] if isinstance(targets, str) else sorted({*map(_leaf, targets or ())})
    return [
        f"vLLM: vllm serve {base} {' '.join(flags)}",
        f"vLLM: rank {max(ranks)} on {', '.join(names)}",
    ]


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]
