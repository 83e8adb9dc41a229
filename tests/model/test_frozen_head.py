import math

import pytest
import torch

from upbring.model.frozen_head import CHUNK_ROWS, CONVERTED_ROWS, logprobs


@pytest.mark.parametrize("count", [1, CHUNK_ROWS, 2 * CHUNK_ROWS + 3])
def test_it_is_the_log_softmax_and_its_gradient(count: int) -> None:
    rng = torch.Generator().manual_seed(0)
    hidden = torch.randn(count, 7, generator=rng, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(30, 7, generator=rng, dtype=torch.float64)
    target = torch.randint(30, (count,), generator=rng)
    grad_output = torch.randn(count, generator=rng, dtype=torch.float64)
    plain = (hidden @ weight.t()).log_softmax(-1).gather(-1, target[:, None]).squeeze(-1)
    (expected,) = torch.autograd.grad(plain, hidden, grad_output)
    found = logprobs(hidden, weight, target)
    (gradient,) = torch.autograd.grad(found, hidden, grad_output)
    assert torch.allclose(found, plain, atol=1e-12)
    assert torch.allclose(gradient, expected, atol=1e-12)


def test_large_logits_do_not_overflow() -> None:
    hidden = torch.tensor([[300.0, -300.0]], requires_grad=True)
    found = logprobs(hidden, torch.eye(2), torch.tensor([1]))
    found.backward()
    assert found.tolist() == [-600.0]
    assert hidden.grad is not None
    assert hidden.grad.tolist() == [[-1.0, 1.0]]


def test_bfloat16_is_summed_in_float32() -> None:
    rng = torch.Generator().manual_seed(0)
    hidden = torch.randn(5, 8, generator=rng).bfloat16()
    weight = torch.randn(40, 8, generator=rng).bfloat16()
    target = torch.arange(5)
    found = logprobs(hidden, weight, target)
    assert found.dtype == torch.float32
    exact = (hidden.double() @ weight.double().t()).log_softmax(-1)
    assert torch.allclose(found.double(), exact[target, target], atol=0.03)


@pytest.mark.parametrize("confidence", [0.7, 0.99, 0.9999])
def test_the_gradient_of_a_nearly_certain_token_survives_bfloat16(confidence: float) -> None:
    rng = torch.Generator().manual_seed(0)
    weight = torch.randn(500, 32, generator=rng).bfloat16()
    target = torch.arange(8)
    odds = math.log(confidence / (1 - confidence)) + math.log(len(weight))  # all others are equal
    own = weight[target].double()
    hidden = (odds * own / own.square().sum(-1, keepdim=True)).bfloat16().requires_grad_()
    logprobs(hidden, weight, target).sum().backward()
    exact = hidden.detach().double().requires_grad_()
    every = (exact @ weight.double().t()).log_softmax(-1)
    every[target, target].sum().backward()
    assert hidden.grad is not None
    assert exact.grad is not None
    difference = (hidden.grad.double() - exact.grad).norm(dim=-1) / exact.grad.norm(dim=-1)
    assert difference.max() < 0.1


def test_a_half_precision_weight_is_used_exactly_a_slice_at_a_time() -> None:
    rng = torch.Generator().manual_seed(0)
    hidden = torch.randn(3, 8, generator=rng, requires_grad=True)
    weight = torch.randn(2 * CONVERTED_ROWS + 5, 8, generator=rng).bfloat16()
    target = torch.tensor([0, CONVERTED_ROWS, 2 * CONVERTED_ROWS + 4])
    exact = (hidden.double() @ weight.double().t()).log_softmax(-1)
    plain = exact.gather(-1, target[:, None]).squeeze(-1)
    found = logprobs(hidden, weight, target)
    (gradient,) = torch.autograd.grad(found.sum(), hidden)
    (expected,) = torch.autograd.grad(plain.sum(), hidden)
    assert torch.allclose(found.double(), plain, atol=1e-5)
    assert torch.allclose(gradient, expected.to(gradient.dtype), atol=1e-4)
