import pytest
import torch

from upbring.model.kernels.matmul_attention import causal_mask, matmul_attention


@pytest.mark.parametrize(("L", "S"), [(5, 5), (3, 7), (1, 4), (97, 97), (200, 230)])
@pytest.mark.parametrize("window", [None, 2])
@pytest.mark.parametrize("groups", [1, 2])
def test_it_is_attention_and_its_gradients(L: int, S: int, window: int | None, groups: int) -> None:
    rng = torch.Generator().manual_seed(0)

    def sample(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=rng, dtype=torch.float64, requires_grad=True)

    q, k, v = sample(4, L, 8), sample(4 // groups, S, 8), sample(4 // groups, S, 8)
    grad_output = torch.randn(4, L, 8, generator=rng, dtype=torch.float64)
    keys, values = k.repeat_interleave(groups, 0), v.repeat_interleave(groups, 0)
    seen = torch.ones(L, S, dtype=torch.bool)
    for i in range(L):
        for j in range(S):
            back = S - L + i - j
            seen[i, j] = back >= 0 and (window is None or back < window)
    assert torch.equal(causal_mask(L, S, window, torch.device("cpu")), seen)
    scores = (q @ keys.transpose(1, 2) * 0.3).masked_fill(~seen, -torch.inf)
    plain = scores.softmax(-1) @ values
    found = matmul_attention(q, k, v, scaling=0.3, window=window)
    assert torch.allclose(found, plain, atol=1e-12)
    expected = torch.autograd.grad(plain, (q, k, v), grad_output)
    for ours, theirs in zip(
        torch.autograd.grad(found, (q, k, v), grad_output), expected, strict=True
    ):
        assert torch.allclose(ours, theirs, atol=1e-12)
