import pytest
import torch

from upbring.maths import segment_sums

SEGMENT = torch.tensor([0, 0, 0, 1, 3])
VALUES = torch.tensor([1.0, 2.0, 6.0, 5.0, -1.0])


def test_sums_and_means_are_by_segment_and_0_if_empty() -> None:
    assert segment_sums.segment_sum(VALUES, SEGMENT, 4).tolist() == [9, 5, 0, -1]
    assert segment_sums.segment_mean(VALUES, SEGMENT, 4).tolist() == [3, 5, 0, -1]


def test_sums_pass_gradients_to_every_value() -> None:
    values = VALUES.clone().requires_grad_()
    (
        segment_sums.segment_sum(values, SEGMENT, 4) * torch.tensor([1.0, 2.0, 3.0, 4.0])
    ).sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [1, 1, 1, 2, 4]


def test_segment_last_is_the_last_value_and_rejects_empty_segments() -> None:
    assert segment_sums.segment_last(VALUES[:4], SEGMENT[:4], 2).tolist() == [6, 5]
    with pytest.raises(AssertionError, match="no value"):
        segment_sums.segment_last(VALUES, SEGMENT, 4)


def test_whitened_values_have_mean_0_and_variance_1_or_keep_their_mean() -> None:
    values = torch.tensor([1.0, 2.0, 6.0, 7.0], dtype=torch.float64)  # mean 4, variance 6.5
    whitened = segment_sums.whiten(values)
    assert whitened.mean().item() == pytest.approx(0, abs=1e-12)
    assert whitened.square().mean().item() == pytest.approx(1, rel=1e-8)
    assert whitened[0].item() == pytest.approx(-3 / 6.5**0.5, rel=1e-8)
    assert segment_sums.whiten(values, shift_mean=False)[0].item() == pytest.approx(
        4 - 3 / 6.5**0.5
    )
    assert segment_sums.whiten(torch.ones(3)).tolist() == [0, 0, 0]
