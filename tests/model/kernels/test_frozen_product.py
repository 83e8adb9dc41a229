import pytest
import torch
from torch import Tensor

from upbring.model.kernels import frozen_product as module
from upbring.model.kernels.frozen_product import frozen_gradient, frozen_product

ROWS = (1, 127, 128, 200, 511, 512, 1000)


@pytest.fixture(params=[False, True], ids=["torch", "oneDNN"])
def _library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param and not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        pytest.skip("torch without oneDNN")
    monkeypatch.setattr(module, "is_amd", lambda: request.param)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.usefixtures("_library")
@pytest.mark.parametrize("num_rows", ROWS)
@pytest.mark.parametrize("has_bias", [False, True])
def test_the_products_are_those_of_float64(num_rows: int, *, has_bias: bool) -> None:
    x, g = draw(num_rows, 192), draw(num_rows, 384, seed=1)
    W = draw(384, 192, seed=2)
    bias = draw(384, seed=3) if has_bias else None
    y, back = frozen_product(x, W, bias), frozen_gradient(g, W)
    expected = x.double() @ W.double().t() + (0 if bias is None else bias.double())
    torch.testing.assert_close(y.double(), expected, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(back.double(), g.double() @ W.double(), rtol=1e-5, atol=1e-4)
    assert y.is_contiguous()


def test_rows_are_filled_up_and_the_shapes_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "is_amd", lambda: True)
    seen: list[int] = []
    product = module.F.pad

    def noting(x: Tensor, size: tuple[int, ...]) -> Tensor:
        out = product(x, size)
        seen.append(len(out))
        return out

    monkeypatch.setattr(module.F, "pad", noting)
    W = draw(384, 192)
    for num_rows in range(128, 1024, 7):
        assert len(frozen_product(draw(num_rows, 192), W)) == num_rows
    assert {n % 64 for n in seen} == {0}
    assert len(set(seen)) <= 15


def test_other_types_and_tensors_with_a_gradient_are_torch_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "is_amd", lambda: True)

    def never(*given: object) -> Tensor:
        raise AssertionError(given)

    monkeypatch.setattr(module, "_product", never)
    x, W = draw(600, 192), draw(384, 192)
    for dtype in (torch.float64, torch.bfloat16):
        frozen_product(x.to(dtype), W.to(dtype))
    frozen_gradient(draw(511, 384), W)
    frozen_product(x[:, :16], W[:16, :16])
    (gradient,) = torch.autograd.grad(frozen_product(x.requires_grad_(), W).sum(), x)
    torch.testing.assert_close(gradient[0], W.sum(0))
