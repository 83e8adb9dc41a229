import torch

from tests import tolerances
from tests.families import VOCABULARY, family
from tests.plain import random_trees
from upbring.data.trees.batch import make_batch
from upbring.model.attention import ATTENTION_NAME
from upbring.model.heads import apply_head, rewards, values
from upbring.model.network import Model
from upbring.model.roles import BASE, Roles
from upbring.settings.model import AdapterSettings

TREES = random_trees(VOCABULARY, [(3, (5, 2)), (7, (4, 6, 1))])


@torch.no_grad()
def test_rewards_and_values_are_the_head_at_their_tokens() -> None:
    # the reference: each response after its own prompt, computed by transformers alone
    model, plain = Model(family("llama", attention=ATTENTION_NAME)), family("llama")
    roles = Roles(model.network)
    roles.add_head(BASE, seed=3)
    head = roles.heads[BASE]
    batch = make_batch(TREES)
    expected_rewards, expected_values = [], []
    for item in TREES:
        for branch in item.branches:
            row = torch.tensor([*item.prompt.tolist(), *branch.tokens.tolist()])[None]
            hidden = plain.base_model(input_ids=row).last_hidden_state[0]
            outputs = hidden @ head.weight[0]
            expected_rewards.append(outputs[-1:])
            expected_values.append(outputs[len(item.prompt) - 1 : -1])
    assert torch.allclose(
        rewards(model, head, batch), torch.cat(expected_rewards), atol=tolerances.LOGPROBS
    )
    assert torch.allclose(
        values(model, head, batch), torch.cat(expected_values), atol=tolerances.LOGPROBS
    )


def test_a_head_is_sampled_from_its_seed_and_is_trained_with_its_role() -> None:
    def head(seed: int) -> torch.Tensor:
        roles = Roles(family("llama"))
        roles.add_adapter("reward", AdapterSettings(rank=2), seed=0)
        roles.add_head("reward", seed=seed)
        names = roles.parameters("reward")
        assert "head.reward.weight" in names
        assert all(p.requires_grad for p in names.values())
        assert not any("head" in name for name in roles.adapter_tensors("reward"))
        return roles.heads["reward"].weight.detach()

    assert torch.equal(head(1), head(1))
    assert not torch.equal(head(1), head(2))
    width = head(1).shape[1]
    assert abs(float(head(1).std()) * (width + 1) ** 0.5 - 1) < 0.4


def test_removing_a_role_removes_its_head() -> None:
    roles = Roles(family("llama"))
    roles.add_adapter("reward", AdapterSettings(rank=2), seed=0)
    roles.add_head("reward", torch.ones(1, roles.model.config.hidden_size))
    roles.remove("reward")
    assert not roles.heads


def test_a_head_reads_in_float32_under_autocast() -> None:
    roles = Roles(family("llama"))
    roles.add_head(BASE)
    hidden = torch.randn(4, roles.model.config.hidden_size).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert apply_head(roles.heads[BASE], hidden).dtype == torch.float32
