"""Settings of PPO, proximal policy optimization."""

from typing import ClassVar, Literal

from upbring.settings.methods.rl import OnPolicySettings
from upbring.settings.schema import setting


class PpoSettings(OnPolicySettings):
    """PPO: RL against a reward model, with a KL penalty and a value model."""

    panel: ClassVar[str] = "PPO"

    update_epochs: int = setting(4, ge=1, help="Passes over each round of rollouts (PPO epochs).")
    value_model: Literal["adapter", "trunk"] = setting(
        "adapter",
        help="Value model: an adapter with a head, initialized from the reward model, or a head on "
        "the policy's own layers (trunk), which is cheaper.",
    )
    vf_coef: float = setting(0.1, ge=0, help="Coefficient of the value loss.")
    value_clip_range: float = setting(
        0.2, ge=0, help="Clip range of a value around its old value; 0: no clipping."
    )
    value_lr_multiplier: float = setting(
        1.0, gt=0, help="Learning rate of the value model, as a multiple of learning_rate."
    )
    value_warmup_rounds: int = setting(
        0, ge=0, help="Value-only warm-up rounds before the policy is updated."
    )
    gamma: float = setting(1.0, gt=0, le=1, help="γ: discount factor of rewards.")
    gae_lambda: float = setting(
        0.95,
        ge=0,
        le=1,
        help="λ of generalized advantage estimation: 1 relies on rewards, 0 on values.",
    )
    whiten_advantages: bool = setting(
        default=True, help="Whiten the token advantages of a round: mean 0, variance 1."
    )
    whiten_rewards: bool = setting(
        default=False, help="Scale the token rewards of a round to variance 1."
    )
    kl_in: Literal["reward", "loss"] = setting(
        "reward", help="Where the KL penalty is applied: in each token's reward, or as a loss term."
    )
    kl_estimator: Literal["k1", "k2", "k3"] = setting(
        "k1", help="Estimator of the KL per token; k1 must not be used in the loss."
    )
