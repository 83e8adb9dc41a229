import torch

from tests.families import VOCABULARY, family
from tests.plain import random_trees
from upbring.model.attention import ATTENTION_NAME
from upbring.model.network import Model
from upbring.model.packing import (
    MIN_ROW_TOKENS,
    MicroBatchGroups,
    group_micro_batches,
    make_micro_batches,
    token_budget,
)
from upbring.model.score import score_tokens

TREES = random_trees(VOCABULARY, [(5, (3,)), (4, (9,)), (10, (18,)), (2, (2, 2)), (11, (14,))])


def test_the_budget_cuts_and_changes_no_value() -> None:
    model = Model(family("llama", attention=ATTENTION_NAME))
    sums = [
        sum(
            float(score_tokens(model, batch).logprobs.detach().sum())
            for batch in make_micro_batches(model, TREES, b)
        )
        for b in (1, 20, 10_000)
    ]
    assert max(sums) - min(sums) < 1e-3
    assert len(make_micro_batches(model, TREES, 1)) == 5
    assert len(make_micro_batches(model, TREES, 10_000)) == 1


def test_lanes_share_the_budget_and_have_as_much_to_do() -> None:
    sizes = [200, 90, 120, 60, 150, 80, 100, 140]
    trees = random_trees(VOCABULARY, [(size - 20, (20,)) for size in sizes])
    model = Model(family("llama", attention=ATTENTION_NAME))

    def loads(budget: int, lanes: int = 2) -> tuple[list[int], int]:
        rows = group_micro_batches(model, trees, budget, lanes=lanes)
        return [sum(sizes[i] for i in group) for group in rows.groups], rows.lanes

    assert loads(10_000) == ([470, 470], 2)
    assert loads(10_000, lanes=1) == ([940], 1)
    for budget in (200, 300, 400, 500, 700):
        for lanes in (2, 3, 8):
            found, used = loads(budget, lanes)
            assert sum(found) == sum(sizes)
            waves = [sum(found[i : i + used]) for i in range(0, len(found), used)]
            assert max(waves) <= budget
    assert loads(399)[1] == 1  # two rows of 200 tokens would not fit
    assert loads(400)[1] == 2
    few = trees[1:3]  # together too short for two lanes
    assert sum(tree.num_tokens for tree in few) < 2 * MIN_ROW_TOKENS
    assert group_micro_batches(model, few, 10_000, lanes=2) == MicroBatchGroups([[1, 0]])
    assert group_micro_batches(model, [], 10_000, lanes=2) == MicroBatchGroups([])
    assert [batch.lanes for batch in make_micro_batches(model, trees, 10_000, lanes=2)] == [2, 2]


def test_lengths_on_both_sides_of_a_rotary_threshold_never_share_a_row() -> None:
    batches = make_micro_batches(
        Model(family("phi3-longrope", attention=ATTENTION_NAME)), TREES, 10_000
    )
    assert [len(batch.spans) for batch in batches] == [2, 3]


def test_more_memory_and_fewer_kept_activations_allow_more_tokens() -> None:
    network = family("llama", attention=ATTENTION_NAME)
    network.config.hidden_size, network.config.num_hidden_layers = 896, 24
    model = Model(network)
    small = token_budget(model, 8 * 2**30, is_checkpointed=False)
    assert 512 <= small < token_budget(model, 16 * 2**30, is_checkpointed=False)
    assert small < token_budget(model, 8 * 2**30, is_checkpointed=True)
    assert torch.tensor(small).item() == small
