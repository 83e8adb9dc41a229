"""What the methods that learn from the policy's own responses have in common."""

from pathlib import Path
from typing import ClassVar, Literal

from upbring.settings.schema import setting
from upbring.settings.stage import StageSettings


class OnPolicySettings(StageSettings):
    """Prompts, responses drawn to them, what rewards these, and what guards against hacking it."""

    panel: ClassVar[str] = "On-policy learning"

    # A step is counted in prompts, and what is learned from has one name: `prompts`.
    batch_tokens: ClassVar[None] = None  # type: ignore[misc]  # hides the setting
    data: ClassVar[object] = property(lambda self: self.prompts)  # type: ignore[misc]  # as above

    prompts: tuple[Path, ...] = setting(
        min_length=1, help="Files of prompts to learn from; what answers them there is not read."
    )
    epochs: float = setting(1.0, gt=0, help="Passes over the prompts. Ignored when steps is set.")
    batch_size: int = setting(16, ge=1, help="Prompts in a step.")
    mix: tuple[str, ...] = setting(
        (),
        help="Files of demonstrations or documents to replay in each step, each as FILE=WEIGHT: "
        "WEIGHT is its share of the step's rows (general.jsonl=0.2).",
    )
    learning_rate: float = setting(5e-5, gt=0, help="Peak learning rate.")
    lr_scheduler: Literal["cosine", "linear", "constant"] = setting(
        "constant", help="How the learning rate falls after the warm-up."
    )
    adam_epsilon: float = setting(1e-5, gt=0, help="AdamW: added to the denominator.")
    num_generations: int = setting(1, ge=1, help="Responses drawn to each prompt.")
    max_response_length: int = setting(128, ge=1, help="Longest response in tokens.")
    num_mini_batches: int = setting(
        1,
        ge=1,
        help="Steps that a round of rollouts is cut into: responses are drawn to batch_size × "
        "num_mini_batches prompts at once.",
    )
    update_epochs: int = setting(1, ge=1, help="Passes over each round of rollouts.")
    clip_range: float = setting(
        0.2, gt=0, help="How far π/π_old may move from 1 before a token stops to count."
    )

    reward_model: tuple[str, ...] = setting(
        (), help="Reward models, each a run or RUN=WEIGHT; several are combined."
    )
    rule: tuple[str, ...] = setting(
        (),
        help="Rules that reward a response with 1 or 0, each as NAME or NAME=WEIGHT: is_json, "
        "is_list, is_one_sentence, is_refusal.",
    )
    combine: Literal["sum", "mean", "worst", "cautious"] = setting(
        "sum",
        help="How several reward models, each times its weight, make one reward: their sum, their "
        "mean, the lowest, or the mean less `spread` standard deviations.",
    )
    spread: float = setting(1.0, ge=0, help="Standard deviations that cautious takes off.")
    length_penalty: float = setting(
        0.0, ge=0, help="Subtracted from the reward for each token of a response."
    )
    missing_eos_penalty: float = setting(
        1.0, ge=0, help="Subtracted from the reward of a response that does not end by itself."
    )
    normalize_rewards: Literal["none", "centre", "scale"] = setting(
        "none",
        help="Shift rewards by the first round's mean (centre), and divide them by its deviation "
        "too (scale).",
    )
    kl_coef: float = setting(
        0.05, ge=0, help="β: weight of the divergence from the model that was begun with."
    )
    kl_target: float | None = setting(
        None, gt=0, help="Adapt β so that the divergence of a response comes near this many nats."
    )
    kl_horizon: float = setting(
        10_000.0, gt=0, help="Responses over which β adapts; less is faster."
    )

    judge: str | None = setting(
        None, help="A second reward model, which is never learned from and chooses the weights."
    )
    max_kl: float | None = setting(
        None,
        gt=0,
        help="Stop when a response diverges by more nats than this, and keep no such weights.",
    )
    patience: int = setting(
        3, ge=1, help="Stop when the judge has been lower than its best for so many evaluations."
    )
    eval_prompts: int = setting(
        32, ge=1, help="Held-out prompts that are answered and judged at each evaluation."
    )
    mix_weight: float = setting(
        0.2, ge=0, help="γ: weight of the loss on the rows of mix, against forgetting."
    )
    ema_decay: float = setting(
        0.0, ge=0, lt=1, help="Decay of an average of the weights, kept instead of them; 0: none."
    )
