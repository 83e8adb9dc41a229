"""Dense weights, gradients and adapters of layers with 4- and 8-bit weights."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests import tolerances
from tests.quantization import needs_bitsandbytes
from upbring.model import quantized
from upbring.model.load_quantized import import_bitsandbytes
from upbring.model.lora import LoraFunction
from upbring.model.quantized import (
    HalfEmbedding,
    HalfHead,
    Quantization,
    QuantizedLinear,
    make_dense,
    num_weights,
    weight_bytes,
)

pytestmark = needs_bitsandbytes

# The 16 values of NormalFloat, QLoRA (arXiv 2305.14314), appendix E.
NF4 = np.array(
    [
        -1.0,
        -0.6961928009986877,
        -0.5250730514526367,
        -0.39491748809814453,
        -0.28444138169288635,
        -0.18477343022823334,
        -0.09105003625154495,
        0.0,
        0.07958029955625534,
        0.16093020141124725,
        0.24611230194568634,
        0.33791524171829224,
        0.44070982933044434,
        0.5626170039176941,
        0.7229568362236023,
        1.0,
    ]
)
ROWS, COLUMNS = 24, 128
ROUNDED = {torch.float32: tolerances.ACCUMULATED, torch.bfloat16: 2**-8}  # relative L2


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected).norm() / expected.norm())


def weights(columns: int = COLUMNS) -> Tensor:
    return torch.randn(ROWS, columns, generator=torch.Generator().manual_seed(0)) * 0.05


def layer(
    quantization: Quantization, *, dtype: torch.dtype = torch.float32, columns: int = COLUMNS
) -> QuantizedLinear:
    """Return `weights` quantized, with a bias."""
    functional = import_bitsandbytes(quantization).functional
    bias = nn.Parameter(torch.linspace(-1, 1, ROWS).to(dtype), requires_grad=False)
    if quantization == "int8":
        codes, scales, _ = functional.int8_vectorwise_quant(weights(columns).half())
        tensors = {"codes": codes, "scales": scales}
    else:
        codes, state = functional.quantize_4bit(
            weights(columns), quant_type="nf4", compress_statistics=True, blocksize=64
        )
        tensors = {
            "codes": codes,
            "scale_codes": state.absmax,
            "scale_scales": state.state2.absmax,
            "scale_table": state.state2.code,
            "scale_offset": state.offset,
        }
    return QuantizedLinear(
        columns, ROWS, quantization=quantization, tensors=tensors, bias=bias, dtype=dtype
    )


@pytest.mark.parametrize("columns", [COLUMNS, 96, 100, 32])
def test_a_4_bit_weight_is_its_code_times_the_scale_of_its_64(columns: int) -> None:
    found = layer("nf4", columns=columns)
    codes = found.get_buffer("codes").numpy().ravel()
    indices = np.stack([codes >> 4, codes & 15], 1).ravel()
    table = found.get_buffer("scale_table").double().numpy()
    scales = table[found.get_buffer("scale_codes").numpy()]  # of 48 blocks, all in the first 256
    scales = scales * found.get_buffer("scale_scales").double().numpy()[0]
    scales = scales + float(found.get_buffer("scale_offset"))
    expected = NF4[indices] * np.repeat(scales, 64)[: ROWS * columns]  # the last may be shorter
    expected = expected.reshape(ROWS, columns)
    np.testing.assert_allclose(found.weight.numpy(), expected, rtol=1e-5, atol=1e-8)
    assert torch.equal(found.dense(torch.float64), found.weight.double())
    given = weights(columns).numpy()
    error = np.linalg.norm(expected - given) / np.linalg.norm(given)
    assert 0.05 < error < 0.12, "4 bits of a normal distribution"


def test_an_8_bit_weight_is_its_code_times_the_scale_of_its_row() -> None:
    found = layer("int8")
    largest = weights().half().double().abs().amax(1).numpy()
    codes = np.round(weights().half().double().numpy() / largest[:, None] * 127)
    expected = codes * largest[:, None] / 127
    difference = np.abs(found.weight.numpy() - expected)
    assert (difference > 1e-6).mean() < 0.01, "codes differ where a quotient is between two"
    assert np.abs(found.weight.numpy() - weights().numpy()).max() < largest.max() / 127


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_output_and_gradient_are_those_of_the_dense_weight(
    quantization: Quantization, dtype: torch.dtype
) -> None:
    found = layer(quantization, dtype=dtype)
    x = torch.randn(7, COLUMNS, generator=torch.Generator().manual_seed(2)).to(dtype)
    outputs, gradients = [], []
    for forward in (found, lambda x: nn.functional.linear(x, found.weight, found.bias)):
        x = x.detach().requires_grad_()
        out = forward(x)
        (out.float() ** 2).sum().backward()
        outputs.append(out.detach())
        gradients.append(x.grad)
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(gradients[0], gradients[1])


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
@pytest.mark.parametrize("columns", [COLUMNS, 96, 100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_slices_of_a_weight_give_the_product_of_the_whole(
    quantization: Quantization,
    columns: int,
    dtype: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = layer(quantization, columns=columns, dtype=dtype)
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(3, 5, columns, generator=generator).to(dtype)
    g = torch.randn(3, 5, ROWS, generator=generator).to(dtype)
    monkeypatch.setattr(quantized, "SLICE_WEIGHTS", 1)
    slices = [weight for _, weight in found._dense_slices(dtype)]
    assert len(slices) > 1
    assert torch.equal(torch.cat(slices), found.dense(dtype))
    found.merge(torch.randn(2, columns) * 1e-3, torch.randn(ROWS, 2))
    weight = found.dense(torch.float64)
    expected = nn.functional.linear(x.double(), weight, found.bias.double())
    assert relative_error(found.product(x, found.bias), expected) < ROUNDED[dtype]
    assert relative_error(found.transposed_product(g), g.double() @ weight) < ROUNDED[dtype]


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_an_adapter_learns_on_it_as_on_the_dense_weight(quantization: Quantization) -> None:
    found = layer(quantization)
    dense = nn.Linear(COLUMNS, ROWS)
    dense.weight, dense.bias = nn.Parameter(found.weight, requires_grad=False), found.bias
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(5, COLUMNS, generator=generator)
    A = torch.randn(4, COLUMNS, generator=generator)
    B = torch.randn(ROWS, 4, generator=generator)
    found_sets = []
    for base in (found, dense):
        leaves = [each.clone().requires_grad_() for each in (x, A, B)]
        out = LoraFunction.apply(leaves[0], base, base.bias, leaves[1], leaves[2], 0.5)
        (out**2).sum().backward()
        found_sets.append([out.detach(), *(leaf.grad for leaf in leaves)])
    for one, other in zip(*found_sets, strict=True):
        assert torch.equal(one, other)


def test_a_merged_adapter_is_added_without_rounding_to_4_bits() -> None:
    found = layer("nf4")
    before = found.weight
    A, B = torch.randn(2, COLUMNS) * 1e-3, torch.randn(ROWS, 2)
    found.merge(A, B)
    found.merge(A, B)
    assert torch.allclose(found.weight, before + 2 * B @ A, atol=1e-7)


def test_a_network_is_counted_by_its_weights_and_made_dense_again() -> None:
    network = nn.Sequential(layer("nf4"), nn.LayerNorm(ROWS))
    expected = network(torch.ones(1, COLUMNS)).detach()
    assert num_weights(network) == ROWS * COLUMNS + 3 * ROWS  # with bias, and the norm's two
    codes, scale_codes, others = ROWS * COLUMNS // 2, ROWS * COLUMNS // 64, 4 * (1 + 256 + 1)
    assert weight_bytes(network) == codes + scale_codes + others + 4 * 3 * ROWS
    make_dense(network)
    assert type(network[0]) is nn.Linear
    assert torch.equal(network(torch.ones(1, COLUMNS)), expected)
    assert num_weights(network) == ROWS * COLUMNS + 3 * ROWS


def test_half_embedding_and_head_compute_in_float32_or_in_autocasts_dtype() -> None:
    embedding, head = nn.Embedding(10, 4), nn.Linear(4, 10, bias=False)
    embedding.to(torch.bfloat16).__class__ = HalfEmbedding
    head.to(torch.bfloat16).__class__ = HalfHead
    rows = embedding(torch.tensor([3]))
    assert torch.equal(rows, embedding.weight[3:4].float())
    assert torch.equal(head(rows), rows @ head.weight.float().t())
    with torch.autocast("cpu", torch.bfloat16):
        assert embedding(torch.tensor([3])).dtype == torch.bfloat16
