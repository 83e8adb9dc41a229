import pytest
import torch

from tests import tolerances
from tests.families import FAMILIES, VOCABULARY, family
from tests.plain import plain_logprobs, random_trees, relative
from upbring.data.trees.batch import make_batch
from upbring.model.attention import ATTENTION_NAME
from upbring.model.network import Model, hidden_states
from upbring.model.score import score_hidden_states, score_tokens

SHAPES = [(3, (5,)), (7, (4, 6)), (9, (3, 8, 5)), (1, (2, 2, 2, 2)), (6, (12,))]


@pytest.mark.parametrize("name", FAMILIES)
def test_packed_trees_equal_plain_transformers(name: str) -> None:
    plain, packed = family(name), family(name, attention=ATTENTION_NAME)
    trees = random_trees(VOCABULARY, SHAPES)
    ours = score_tokens(Model(packed), make_batch(trees)).logprobs
    theirs = plain_logprobs(plain, trees)
    assert (ours - theirs).abs().max() < tolerances.LOGPROBS
    weights = torch.linspace(0.5, 2, len(ours))
    (ours * weights).sum().backward()
    (theirs * weights).sum().backward()
    assert relative([*packed.parameters()], [*plain.parameters()]) < tolerances.GRADIENTS


@pytest.mark.parametrize("name", FAMILIES)
def test_the_slow_path_equals_plain_transformers(name: str) -> None:
    plain = family(name)
    trees = random_trees(VOCABULARY, SHAPES[:3])
    ours = score_tokens(Model(plain, is_packed=False), make_batch(trees)).logprobs
    assert (ours - plain_logprobs(plain, trees)).abs().max() < tolerances.LOGPROBS


@pytest.mark.parametrize("name", FAMILIES)
def test_bfloat16_stays_near_float32(name: str) -> None:
    trees = random_trees(VOCABULARY, SHAPES)
    exact = score_tokens(Model(family(name, attention=ATTENTION_NAME)), make_batch(trees)).logprobs
    network = family(name, attention=ATTENTION_NAME).to(torch.bfloat16)
    ours = score_tokens(Model(network, torch.bfloat16), make_batch(trees)).logprobs
    assert (ours - exact).abs().mean() < tolerances.BFLOAT16_MEAN


def test_rows_on_both_sides_of_a_rotary_threshold_are_computed_apart() -> None:
    plain, packed = family("phi3-longrope"), family("phi3-longrope", attention=ATTENTION_NAME)
    trees = random_trees(VOCABULARY, [(10, (5,)), (10, (20,)), (8, (15, 16))])
    ours = score_tokens(Model(packed), make_batch(trees)).logprobs
    theirs = plain_logprobs(plain, trees)  # the threshold is 24
    assert (ours - theirs).abs().max() < tolerances.LOGPROBS


def test_chunks_change_neither_values_nor_gradients() -> None:
    network = family("gemma2", attention=ATTENTION_NAME)
    batch = make_batch(random_trees(VOCABULARY, SHAPES))
    results = []
    for chunk_bytes in (2**30, 4 * VOCABULARY * 16):
        network.zero_grad()
        hidden = hidden_states(Model(network), batch)[batch.source]
        read = score_hidden_states(
            Model(network), hidden, batch.target, has_entropy=True, chunk_bytes=chunk_bytes
        )
        assert read.entropy is not None
        (read.logprobs.sum() + read.entropy.sum()).backward()
        gradient = network.get_output_embeddings().weight.grad
        results.append((read.logprobs, read.entropy, gradient.clone()))
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_entropy_is_that_of_the_distribution_before_each_token() -> None:
    network = family("llama", attention=ATTENTION_NAME)
    (item,) = random_trees(VOCABULARY, [(4, (3,))])
    entropy = score_tokens(Model(network), make_batch([item]), has_entropy=True).entropy
    plain = family("llama")
    tokens = torch.tensor([[*item.prompt, *item.branches[0].tokens]])
    shares = plain(input_ids=tokens).logits[0, 3:6].double().softmax(-1)
    assert entropy is not None
    assert torch.allclose(entropy.double(), -(shares * shares.log()).sum(-1), atol=1e-5)


def test_branches_do_not_see_each_other() -> None:
    network = family("llama", attention=ATTENTION_NAME)
    one, other = random_trees(VOCABULARY, [(5, (4, 6))]), random_trees(VOCABULARY, [(5, (4, 6))])
    other[0].branches[0].tokens[:] = 3
    first = score_tokens(Model(network), make_batch(one)).logprobs
    second = score_tokens(Model(network), make_batch(other)).logprobs
    assert torch.equal(first[4:], second[4:])
    assert not torch.equal(first[:4], second[:4])


def test_no_tensor_of_logits_outlives_its_chunk() -> None:
    network = family("llama", attention=ATTENTION_NAME)
    batch = make_batch(random_trees(VOCABULARY, [(5, (60,)), (5, (60,))]))
    rows = 16
    kept: list[int] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        is_head = tensor.shape == (hidden.shape[1], VOCABULARY)
        if tensor.shape[-1:] == (VOCABULARY,) and not is_head:
            kept.append(tensor.shape[0])
        return tensor

    hidden = hidden_states(Model(network), batch)[batch.source]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        score_hidden_states(Model(network), hidden, batch.target, chunk_bytes=4 * VOCABULARY * rows)
    assert kept
    assert max(kept) <= rows < len(batch.target)
