"""SLiC's hinge loss (Zhao et al. 2023, arXiv 2305.10425) on the rewards of DPO."""

from torch import Tensor

from upbring.algorithms.dpo import Dpo
from upbring.maths.ranking_losses import Pairs
from upbring.stages.preference import preference_implementation, settings_fields


def hinge_losses(margins: Tensor) -> Tensor:
    """Return the loss `[M]` of each pair."""
    # max(0, 1 − (r̂(x, y_w) − r̂(x, y_l)))
    return (1 - margins).relu()


class HingeDpo(Dpo):
    """DPO, but a pair whose margin is above 1 has no loss."""

    name = "hinge_dpo"

    def margin_loss(self, margins: Tensor, pairs: Pairs) -> Tensor:
        """Return the loss of each pair `[M]`."""
        del pairs  # which responses are compared does not matter here
        return hinge_losses(margins)


HINGE_DPO = preference_implementation(HingeDpo, lambda context: settings_fields(context, "beta"))
