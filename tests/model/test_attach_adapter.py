from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from transformers import AutoModelForCausalLM

from tests import tolerances
from tests.small import make_model
from upbring.data.trees.batch import make_batch
from upbring.data.trees.tree import make_tree
from upbring.errors import InputError
from upbring.model.attach_adapter import attach_adapter, factor_difference, is_attachable
from upbring.model.load import LoadedModel, load
from upbring.model.score import score_tokens

TEXT = list(range(3, 40))


def silent(_: str) -> None:
    """Print nothing."""


def loaded(folder: Path) -> LoadedModel:
    return load(str(folder), device=torch.device("cpu"), compute_dtype=torch.float32, log=silent)


@torch.no_grad()
def logprobs_of(model: LoadedModel, role: str = "base") -> Tensor:
    with model.roles.active(role):
        return score_tokens(model.model, make_batch([make_tree(TEXT[:1], TEXT[1:])])).logprobs


def adapter(base: Path, target: Path, *, seed: int, layers: list[str]) -> Path:
    config = LoraConfig(r=3, lora_alpha=5, target_modules=layers)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(0, 0.1)
    network.save_pretrained(target)
    return target


def test_an_attached_adapter_next_to_a_merged_one_computes_the_same_as_alone(
    model_folder: Path, tmp_path: Path
) -> None:
    policy = adapter(model_folder, tmp_path / "policy", seed=1, layers=["q_proj", "up_proj"])
    reward = adapter(model_folder, tmp_path / "reward", seed=2, layers=["q_proj", "o_proj"])
    alone = logprobs_of(loaded(reward))
    both = loaded(policy)
    before = logprobs_of(both)
    attach_adapter(both, str(reward), "reward", log=silent)
    assert torch.allclose(logprobs_of(both, "reward"), alone, atol=tolerances.LOGPROBS)
    assert torch.equal(logprobs_of(both), before)
    assert not torch.allclose(before, alone, atol=1e-2)


def test_shared_leading_ranks_cancel() -> None:
    rng = torch.Generator().manual_seed(0)
    A, B = torch.randn(2, 6, generator=rng), torch.randn(5, 2, generator=rng)
    C, D = torch.randn(3, 6, generator=rng), torch.randn(5, 3, generator=rng)
    theirs = {"x": (torch.cat([A, C]), torch.cat([B, D], 1))}
    assert torch.equal(factor_difference(theirs, {"x": (A, B)})["x"][0], C)
    back = factor_difference({"x": (A, B)}, theirs)["x"]
    assert torch.equal(back[1] @ back[0], -D @ C)
    nothing = factor_difference(theirs, theirs)["x"]
    assert not (nothing[1] @ nothing[0]).any()
    strange = factor_difference({"x": (C, D)}, {"x": (A, B)})["x"]
    assert torch.allclose(strange[1] @ strange[0], D @ C - B @ A, atol=1e-5)


def test_another_base_is_refused(model_folder: Path, tmp_path: Path) -> None:
    other = make_model(tmp_path / "other", seed=9)
    strange = adapter(other, tmp_path / "strange", seed=1, layers=["q_proj"])
    model = loaded(model_folder)
    assert not is_attachable(model, str(strange), log=silent)
    assert not is_attachable(model, str(model_folder), log=silent)
    with pytest.raises(InputError, match="is not an adapter on"):
        attach_adapter(model, str(strange), "reward", log=silent)


def test_peft_agrees_on_the_adapter_that_is_attached(model_folder: Path, tmp_path: Path) -> None:
    folder = adapter(model_folder, tmp_path / "it", seed=4, layers=["q_proj"])
    network = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model_folder), folder)
    with torch.no_grad():
        every = network(input_ids=torch.tensor([TEXT])).logits[0].log_softmax(-1)
    theirs = every[:-1].gather(-1, torch.tensor(TEXT[1:])[:, None]).squeeze(-1)
    model = loaded(model_folder)
    attach_adapter(model, str(folder), "it", log=silent)
    assert torch.allclose(logprobs_of(model, "it"), theirs, atol=tolerances.LOGPROBS)
