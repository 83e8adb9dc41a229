import pytest
import torch

from upbring.model.attention import (
    AttentionConfig,
    UnsupportedAttention,
    attention,
    causal_mask,
    packed_attention,
)


def test_the_causal_mask_with_and_without_a_window() -> None:
    # Two queries, the last of four tokens; with window 2 each attends to itself and one before.
    assert causal_mask(2, 4, None, torch.device("cpu")).int().tolist() == [
        [1, 1, 1, 0],
        [1, 1, 1, 1],
    ]
    assert causal_mask(2, 4, 2, torch.device("cpu")).int().tolist() == [[0, 1, 1, 0], [0, 0, 1, 1]]


@pytest.mark.parametrize("queries", [7, 3])
@pytest.mark.parametrize("window", [None, 2, 7, 9])
@pytest.mark.parametrize("softcap", [None, 0.7])
def test_attention_is_the_naive_sum_in_float64(
    queries: int, window: int | None, softcap: float | None
) -> None:
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(4, queries, 8, generator=generator)
    k, v = (torch.randn(2, 7, 8, generator=generator) for _ in range(2))
    out = attention(q, k, v, AttentionConfig(0.3, window, softcap))
    for head in range(4):
        for i in range(queries):
            place = 7 - queries + i
            first = 0 if window is None else max(0, place - window + 1)
            scores = [
                0.3 * float(q[head, i].double() @ k[head // 2, j].double())
                for j in range(first, place + 1)
            ]
            if softcap is not None:
                scores = [softcap * float(torch.tensor(s / softcap).tanh()) for s in scores]
            shares = torch.tensor(scores, dtype=torch.float64).softmax(0)
            expected = shares @ v[head // 2, first : place + 1].double()
            assert torch.allclose(out[head, i].double(), expected, atol=1e-5)


@pytest.mark.parametrize("unknown", [{"s_aux": torch.ones(1)}, {"dropout": 0.1}])
def test_unsupported_attention_features_are_refused(unknown: dict[str, object]) -> None:
    row = torch.zeros(1, 2, 3, 4)
    with pytest.raises(UnsupportedAttention):
        packed_attention(torch.nn.Module(), row, row, row, None, **unknown)
