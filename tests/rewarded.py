"""A reward model made by hand, an adapter and a head on a tiny base, and its expected scores."""

from collections.abc import Sequence
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from upbring.data.chat.chat import make_chat
from upbring.data.chat.tokenizer_files import load_tokenizer, save_tokenizer
from upbring.judge.reward_model import ResponseGroup
from upbring.model.load import ADAPTER_HEAD_NAME


def make_reward(base: Path, target: Path, *, seed: int = 0) -> Path:
    """Write an adapter on `base` with random weights and a head that separates responses."""
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
    save_file({**load_file(file), ADAPTER_HEAD_NAME: head}, file)
    save_tokenizer(load_tokenizer(base), target)
    return target


def scored(base: Path, judge: Path, groups: Sequence[ResponseGroup]) -> list[list[float]]:
    """Return the scores as plain transformers and peft compute them, one response at a time."""
    head = load_file(judge / "adapter_model.safetensors")[ADAPTER_HEAD_NAME][0]
    network = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), judge)
    chat = make_chat(load_tokenizer(base))
    found = []
    for question in groups:
        tree = chat.encode_comparison(question.prompt, question.responses, key="")
        rows = [[*tree.prompt.tolist(), *b.tokens.tolist()] for b in tree.branches]
        with torch.no_grad():
            states = [
                network(torch.tensor([row]), output_hidden_states=True).hidden_states[-1][0, -1]
                for row in rows
            ]
        found.append([float(state @ head) for state in states])
    return found
