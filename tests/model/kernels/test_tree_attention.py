"""One masked product per tree, against one product per branch and against the definition."""

import itertools

import pytest
import torch
from torch import Tensor

from upbring.data.trees.batch import TreeSpan
from upbring.model import attention
from upbring.model.attention import AttentionConfig, TreeLayout
from upbring.model.kernels.tree_attention import attend_whole_tree, is_one_product_faster

H, G, K = 4, 2, 8
SPANS = (TreeSpan(0, 40, (9,) * 8), TreeSpan(112, 5, (3, 1, 120)), TreeSpan(241, 1, (2, 2)))
T = SPANS[-1].stop


def never(_: TreeSpan) -> bool:
    return False


def given(seed: int = 0) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    shapes = ((H, T, K), (G, T, K), (G, T, K))
    return tuple(torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes)


def defined(q: Tensor, k: Tensor, v: Tensor, *, window: int | None) -> Tensor:
    """Return attention token by token: over the prompt and the own branch up to the token."""
    out = torch.zeros_like(q)
    for span in SPANS:
        prompt = list(range(span.start, span.start + span.prompt_length))
        starts = [span.start + span.prompt_length]
        for C in span.branch_lengths:
            starts.append(starts[-1] + C)
        paths = [(prompt, [])] + [
            (prompt, list(range(a, b))) for a, b in itertools.pairwise(starts)
        ]
        for before, own in paths:
            path = before + own
            for number in range(len(before) if own else 0, len(path)):
                seen = path[: number + 1][-(window or T) :]
                for head in range(H):
                    keys, values = k[head // (H // G), seen], v[head // (H // G), seen]
                    weights = (keys @ q[head, path[number]] * K**-0.5).softmax(0)
                    out[head, path[number]] = weights @ values
    return out


@pytest.mark.parametrize("window", [None, 6])
def test_outputs_are_those_of_the_definition(window: int | None) -> None:
    q, k, v = given()
    found = torch.cat(
        [
            attend_whole_tree(
                *(each[:, span.start : span.stop] for each in (q, k, v)),
                span,
                scaling=K**-0.5,
                window=window,
            )
            for span in SPANS
        ],
        dim=1,
    )
    assert torch.allclose(found, defined(q, k, v, window=window), atol=1e-12)


@pytest.mark.parametrize("window", [None, 6])
def test_outputs_and_gradients_are_those_of_one_product_per_branch(
    window: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, config = TreeLayout(SPANS, torch.device("cpu")), AttentionConfig(K**-0.5, window, None)
    found = []
    for is_whole in (True, False):
        monkeypatch.setattr(
            attention, "is_one_product_faster", {True: bool, False: never}[is_whole]
        )
        inputs = [each.requires_grad_() for each in given()]
        out = layout.attend(*inputs, config)
        (out**2).sum().backward()
        found.append([out.detach(), *(each.grad for each in inputs)])
    for whole, separate in zip(*found, strict=True):
        assert torch.allclose(whole, separate, atol=1e-12)


def test_many_short_branches_are_one_product_and_few_or_long_ones_are_not() -> None:
    assert is_one_product_faster(TreeSpan(0, 60, (20,) * 8))
    assert not is_one_product_faster(TreeSpan(0, 60, (20,)))
    assert not is_one_product_faster(TreeSpan(0, 150, (150, 150)))
    assert not is_one_product_faster(TreeSpan(0, 60, (60,) * 16))
