import torch

from tests.families import VOCABULARY, family
from tests.plain import random_trees
from upbring.data.trees.batch import make_batch
from upbring.model.attention import ATTENTION_NAME
from upbring.model.network import Model, disable_dropout, hidden_states


def test_hidden_states_are_the_same_on_both_paths() -> None:
    batch = make_batch(random_trees(VOCABULARY, [(3, (5,)), (7, (4, 6)), (5, ())]))
    packed = hidden_states(Model(family("qwen3", attention=ATTENTION_NAME)), batch)
    slow = hidden_states(Model(family("qwen3"), is_packed=False), batch)
    assert packed.shape == (batch.num_tokens, 32)
    assert torch.allclose(packed, slow, atol=1e-5)


def test_without_dropout_a_network_computes_the_same_in_training() -> None:
    network = family("gpt2", attention=ATTENTION_NAME)
    disable_dropout(network)
    batch = make_batch(random_trees(VOCABULARY, [(3, (5,))]))
    network.train()
    assert torch.equal(
        hidden_states(Model(network), batch), hidden_states(Model(network.eval()), batch)
    )


def test_a_rotary_threshold_is_known_where_there_is_one() -> None:
    assert Model(family("phi3-longrope")).rotary_threshold == 24
    assert Model(family("llama")).rotary_threshold is None


def test_every_kind_of_dropout_is_disabled() -> None:
    network = family("gpt2", attention=ATTENTION_NAME)
    network.transformer.h[0].mlp.hidden_dropout = 0.1  # a plain number, as in OPT and BLOOM
    network.transformer.h[0].attn.router_jitter_noise = 0.1
    disable_dropout(network)
    assert network.transformer.h[0].mlp.hidden_dropout == 0
    assert network.transformer.h[0].attn.router_jitter_noise == 0
    assert all(m.p == 0 for m in network.modules() if isinstance(m, torch.nn.Dropout))
