"""Proximal policy optimisation."""

from typing import ClassVar, Literal

from upbring.settings.methods.rl import OnPolicySettings
from upbring.settings.schema import setting


class PpoSettings(OnPolicySettings):
    """Learn from rewards of the policy's own responses, with a value for every token."""

    panel: ClassVar[str] = "PPO"

    update_epochs: int = setting(4, ge=1, help="Passes over each round of rollouts.")
    value_model: Literal["adapter", "trunk"] = setting(
        "adapter",
        help="What estimates values: an adapter with a head, begun as the reward model, or a head "
        "on the policy's own layers (trunk), which is cheaper.",
    )
    vf_coef: float = setting(0.1, ge=0, help="Weight of the value's loss.")
    value_clip_range: float = setting(
        0.2, ge=0, help="How far a value may move from the one at the draw; 0: as far as it likes."
    )
    value_lr_multiplier: float = setting(
        1.0, gt=0, help="Learning rate of the value, as a multiple of learning_rate."
    )
    value_warmup_rounds: int = setting(
        0, ge=0, help="Rounds at the beginning in which the value alone learns."
    )
    gamma: float = setting(1.0, gt=0, le=1, help="γ of later rewards.")
    gae_lambda: float = setting(
        0.95, ge=0, le=1, help="λ of generalised advantages: 1 trusts rewards, 0 values."
    )
    whiten_advantages: bool = setting(
        default=True, help="Whiten the advantages of a round's tokens."
    )
    whiten_rewards: bool = setting(
        default=False, help="Scale the rewards of a round's tokens to variance 1 as well."
    )
    kl_in: Literal["reward", "loss"] = setting(
        "reward", help="Whether the divergence is paid for in each token's reward or in the loss."
    )
    kl_estimator: Literal["k1", "k2", "k3"] = setting(
        "k1", help="Estimator of the divergence per token; k1 has no use in the loss."
    )
