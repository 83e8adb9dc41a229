"""Settings that the on-policy RL methods share."""

from pathlib import Path
from typing import ClassVar, Literal

from upbring.settings.schema import setting
from upbring.settings.stage import StageSettings


class OnPolicySettings(StageSettings):
    """On-policy RL: prompts, sampling, reward, KL penalty, and guards against reward hacking."""

    panel: ClassVar[str] = "On-policy RL"

    # A step is counted in prompts, and the training data is `prompts`.
    batch_tokens: ClassVar[None] = None  # type: ignore[misc]  # hides the setting
    data: ClassVar[object] = property(lambda self: self.prompts)  # type: ignore[misc]  # as above

    prompts: tuple[Path, ...] = setting(
        min_length=1, help="Training files of prompts; responses in these files are ignored."
    )
    epochs: float = setting(1.0, gt=0, help="Passes over the prompts. Ignored when steps is set.")
    batch_size: int = setting(16, ge=1, help="Prompts per optimizer step.")
    mix: tuple[str, ...] = setting(
        (),
        help="Files of demonstrations or documents to replay in each step, each as FILE=WEIGHT, "
        "where WEIGHT is its share of the step's rows, such as general.jsonl=0.2.",
    )
    learning_rate: float = setting(5e-5, gt=0, help="Peak learning rate.")
    lr_scheduler: Literal["cosine", "linear", "constant"] = setting(
        "constant", help="Learning rate schedule after the warm-up."
    )
    adam_epsilon: float = setting(1e-5, gt=0, help="AdamW ε: added to the denominator.")
    num_generations: int = setting(1, ge=1, help="Responses sampled per prompt.")
    max_response_length: int = setting(128, ge=1, help="Maximum length of a response in tokens.")
    num_mini_batches: int = setting(
        1,
        ge=1,
        help="Mini-batches per round of rollouts, each with an optimizer step: a round has "
        "batch_size × num_mini_batches prompts.",
    )
    update_epochs: int = setting(1, ge=1, help="Passes over each round of rollouts.")
    clip_range: float = setting(0.2, gt=0, help="PPO clip range ε for the probability ratio.")

    reward_model: tuple[str, ...] = setting(
        (), help="Reward models, each as RUN or RUN=WEIGHT; several are combined."
    )
    reward_function: tuple[str, ...] = setting(
        (),
        help="Reward functions, each as NAME or NAME=WEIGHT; they are added to the reward models. "
        "NAME is FILE.py:FUNCTION, a function of prompt, response and row, or a rule, which reads "
        "columns of the row: exact, normalized, contains, same_number (answer), json, json_keys "
        "(keys), json_schema (schema), regex (pattern), bullets, one_sentence, length (min_words, "
        "max_words), language, instructions, refusal, polite_words, formatting_marks.",
    )
    combine: Literal["sum", "mean", "worst", "cautious"] = setting(
        "sum",
        help="How several reward models, each times its weight, are combined: their sum, their "
        "mean, their minimum (worst), or the mean minus `spread` standard deviations (cautious).",
    )
    spread: float = setting(
        1.0, ge=0, help="Number of standard deviations that combine=cautious subtracts."
    )
    length_penalty: float = setting(
        0.0, ge=0, help="Penalty subtracted from the reward per token of a response."
    )
    missing_eos_penalty: float = setting(
        1.0, ge=0, help="Penalty subtracted from the reward of a response without a stop token."
    )
    normalize_rewards: Literal["none", "centre", "scale"] = setting(
        "none",
        help="Subtract the first round's mean reward (centre), and also divide by its standard "
        "deviation (scale).",
    )
    kl_coef: float = setting(
        0.05,
        ge=0,
        help="β: KL penalty coefficient; higher keeps the policy closer to the reference.",
    )
    kl_target: float | None = setting(
        None,
        gt=0,
        help="Adapt β so that the KL per response approaches this many nats. Unset: β is constant.",
    )
    kl_horizon: float = setting(
        10_000.0, gt=0, help="Number of responses over which β adapts; fewer adapt faster."
    )

    judge: str | None = setting(
        None,
        help="A second reward model that selects the best weights; the policy never trains on it.",
    )
    max_kl: float | None = setting(
        None,
        gt=0,
        help="Stop if the mean KL per response exceeds this many nats; such weights are not kept.",
    )
    patience: int = setting(
        3,
        ge=1,
        help="Stop when the judge's score has been below its best for this many evaluations.",
    )
    eval_prompts: int = setting(
        32, ge=1, help="Number of held-out prompts that are sampled and judged at each evaluation."
    )
    mix_weight: float = setting(
        0.2,
        ge=0,
        help="γ: weight of the next-token loss on the rows of mix, which reduces forgetting.",
    )
    ema_decay: float = setting(
        0.0,
        ge=0,
        lt=1,
        help="Decay of a moving average (EMA) of the weights, which is kept instead; 0: none.",
    )

    @property
    def needs_old_logprobs(self) -> bool:
        """Whether a round needs its policy's exact log-probabilities before the first step."""
        return True
