"""A reward model made by hand: a small adapter and a head, as files beside a tiny base."""

from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from upbring.data.tokenizer import load_tokenizer, save_tokenizer
from upbring.model.load import HEAD


def make_reward(base: Path, target: Path, *, seed: int = 0) -> Path:
    """Write an adapter on `base` with random weights and a head that tells responses apart."""
    config = LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj", "up_proj"])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(0, 0.1)
        head = torch.randn(1, network.config.hidden_size) / 2
    network.save_pretrained(target)
    file = target / "adapter_model.safetensors"
    save_file({**load_file(file), HEAD: head}, file)
    save_tokenizer(load_tokenizer(base), target)
    return target
