import torch

from tests.families import VOCABULARY, family
from tests.plain import random_trees
from upbring.model.attention import ATTENTION_NAME
from upbring.model.network import Model
from upbring.model.packing import (
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


def test_lengths_on_both_sides_of_a_rotary_threshold_never_share_a_row() -> None:
    batches = make_micro_batches(
        Model(family("phi3-longrope", attention=ATTENTION_NAME)), TREES, 10_000
    )
    assert [len(batch.spans) for batch in batches] == [2, 3]


def test_more_memory_and_fewer_kept_activations_allow_more_tokens() -> None:
    model = described(width=896, layers=24)
    small = token_budget(model, 8 * 2**30, is_checkpointed=False)
    assert 512 <= small < token_budget(model, 16 * 2**30, is_checkpointed=False)
    assert small < token_budget(model, 8 * 2**30, is_checkpointed=True)
    assert torch.tensor(small).item() == small


def test_a_processor_computes_no_more_than_keeps_it_busy() -> None:
    model = described(width=1024, layers=16)
    memory = 2**40
    assert token_budget(model, memory, is_checkpointed=False) == 16_384  # its weights are few
    model.body.add_module("wide", torch.nn.Linear(8192, 8192))
    medium = token_budget(model, memory, is_checkpointed=False)
    assert 1_400 < medium < 1_600  # 1e11 products with 67 million weights
    model.body.add_module("wider", torch.nn.Linear(16_384, 16_384))
    assert token_budget(model, memory, is_checkpointed=False) == 1_024
    assert token_budget(model, 2**31, is_checkpointed=False) == 512


def described(*, width: int, layers: int) -> Model:
    """Return a small network that says that it is larger."""
    network = family("llama", attention=ATTENTION_NAME)
    network.config.hidden_size, network.config.num_hidden_layers = width, layers
    return Model(network)
