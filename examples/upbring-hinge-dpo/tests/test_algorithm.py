import torch
from upbring_hinge_dpo.algorithm import hinge_losses


def test_a_margin_above_1_has_no_loss() -> None:
    assert hinge_losses(torch.tensor([-1.0, 0.0, 0.5, 1.0, 3.0])).tolist() == [2, 1, 0.5, 0, 0]
