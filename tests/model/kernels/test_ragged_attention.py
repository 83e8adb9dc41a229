import pytest
import torch

from tests.families import VOCABULARY, family
from tests.plain import random_trees, relative
from upbring.data.trees.batch import TreeSpan, make_batch
from upbring.model.attention import ATTENTION_NAME, AttentionConfig, TreeLayout, attention
from upbring.model.kernels.ragged_attention import (
    is_ragged_supported,
    ragged_attention,
    ragged_sequences,
)
from upbring.model.network import Model
from upbring.model.score import score_tokens

CPU = torch.device("cpu")
SPANS = (TreeSpan(0, 2, (1, 2)), TreeSpan(5, 3, (1,)), TreeSpan(9, 2, ()))  # 11 tokens in a row

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")


def test_a_branch_finds_its_prompt_before_itself() -> None:
    # Tree 1: prompt 0 1, branches 2 and 3 4. Tree 2 is one sequence, 5 to 8. Tree 3: 9 10.
    found = ragged_sequences(SPANS, CPU)
    assert found.cu_seqlens_q.tolist() == [0, 2, 3, 5, 9, 11]
    assert found.cu_seqlens_k.tolist() == [0, 2, 5, 9, 13, 15]
    assert found.key_positions is not None
    assert found.key_positions.tolist() == [0, 1, 0, 1, 2, 0, 1, 3, 4, 5, 6, 7, 8, 9, 10]
    assert (found.max_seqlen_q, found.max_seqlen_k) == (4, 4)


def test_trees_of_one_branch_gather_nothing() -> None:
    assert ragged_sequences(SPANS[1:2], CPU).key_positions is None


def test_a_cpu_does_not_use_the_ragged_kernel() -> None:
    assert not is_ragged_supported(torch.zeros(2, 3, 8, dtype=torch.bfloat16), softcap=None)


@needs_gpu
@pytest.mark.parametrize("window", [None, 2, 40])
@pytest.mark.parametrize("heads", [4, 2])
def test_one_ragged_call_equals_one_call_per_sequence(window: int | None, heads: int) -> None:
    spans, gpu = (
        (TreeSpan(0, 60, (33, 21, 5)), TreeSpan(119, 3, (40,)), TreeSpan(162, 70, ())),
        "cuda",
    )
    generator = torch.Generator(gpu).manual_seed(0)
    shapes = ((4, 232, 32), (heads, 232, 32), (heads, 232, 32))
    q, k, v = (torch.randn(s, generator=generator, device=gpu).requires_grad_() for s in shapes)
    how = torch.randn(4, 232, 32, generator=generator, device=gpu)
    half = [each.bfloat16() for each in (q, k, v)]
    rule = AttentionConfig(0.2, window)
    fused = ragged_attention(
        *half, ragged_sequences(spans, torch.device(gpu)), scaling=0.2, window=window
    )
    ours = torch.autograd.grad((fused.float() * how).sum(), (q, k, v))
    plain = TreeLayout(spans, torch.device(gpu)).attend(q, k, v, rule)
    theirs = torch.autograd.grad((plain * how).sum(), (q, k, v))
    assert torch.allclose(fused.float(), plain, atol=3e-2)
    for a, b in zip(ours, theirs, strict=True):
        assert float((a - b).norm() / b.norm()) < 1e-2


@needs_gpu
@pytest.mark.parametrize("name", ["llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "gpt2"])
def test_a_gpu_computes_the_same_as_a_cpu(name: str) -> None:
    trees = random_trees(VOCABULARY, [(5, (3,)), (4, (9, 2)), (10, (18, 7, 7)), (2, (2, 2))])
    networks = [family(name, attention=ATTENTION_NAME).to(kind) for kind in ("cpu", "cuda")]
    sums = []
    for network in networks:
        logprobs = score_tokens(Model(network), make_batch(trees).to(network.device)).logprobs
        (-logprobs.sum()).backward()
        sums.append(logprobs.detach().cpu())
    assert torch.allclose(*sums, atol=2e-5)
    half = Model(networks[1], compute_dtype=torch.bfloat16)
    found = score_tokens(half, make_batch(trees).to(half.device)).logprobs.detach().cpu()
    assert float((found - sums[0]).abs().mean()) < 5e-2
    gpu = networks[1].to("cpu")
    assert relative(list(gpu.parameters()), list(networks[0].parameters())) < 5e-5


def test_the_sequences_cover_what_trees_attend_to() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 11, 8, generator=generator) for _ in range(3))
    expected = TreeLayout(SPANS, CPU).attend(q, k, v, AttentionConfig(0.3))
    found = ragged_sequences(SPANS, CPU)
    assert found.key_positions is not None
    ends, sizes = found.cu_seqlens_q.tolist(), found.cu_seqlens_k.tolist()
    for i in range(len(ends) - 1):
        mine = slice(ends[i], ends[i + 1])
        seen = found.key_positions[sizes[i] : sizes[i + 1]]
        out = attention(q[:, mine], k[:, seen], v[:, seen], AttentionConfig(0.3))
        assert torch.allclose(out, expected[:, mine], atol=1e-6)
