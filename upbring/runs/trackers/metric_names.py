"""Names of metrics in trackers: TRL's where it has the same metric, else those of metrics.jsonl.

Charts of runs of both libraries then share their panels. Metrics that TRL defines otherwise, such
as summed instead of mean log-probabilities, keep their own names.
"""

from collections.abc import Mapping

ALL_METHODS = {"gradient_norm": "grad_norm", "seconds": "step_time"}
PREFERENCE = {
    "chosen_reward": "rewards/chosen",
    "rejected_reward": "rewards/rejected",
    "accuracy": "rewards/accuracies",
    "margin": "rewards/margins",
}
RL = {
    "reward_deviation": "reward_std",
    "length": "completions/mean_length",
    "clip_fraction": "clip_ratio/region_mean",
    "sampler_gap": "sampling/sampling_logp_difference/mean",
}
REWARD_MODEL = {"score": "mean_reward"}
NAMES_BY_METHOD: Mapping[str, Mapping[str, str]] = {
    **dict.fromkeys(("dpo", "ipo", "kto", "orpo", "simpo"), PREFERENCE),
    **dict.fromkeys(("ppo", "grpo", "rloo"), RL),
    "reward": REWARD_MODEL,
}
CLIPPED = "completions/clipped_ratio"  # of responses without a stop token


def trl_metrics(method: str, metrics: Mapping[str, float]) -> dict[str, float]:
    """Return metrics with TRL's names; a held-out loss is called loss, whatever the method.

    >>> trl_metrics("dpo", {"dpo": 0.5, "margin": 1.0, "gradient_norm": 2.0})
    {'dpo': 0.5, 'rewards/margins': 1.0, 'grad_norm': 2.0, 'loss': 0.5}
    >>> trl_metrics("grpo", {"ended": 0.75, "kl": 0.1})
    {'ended': 0.75, 'kl': 0.1, 'completions/clipped_ratio': 0.25}
    """
    names = {**ALL_METHODS, **NAMES_BY_METHOD.get(method, {})}
    renamed = {names.get(name, name): value for name, value in metrics.items()}
    loss = metrics.get(method, metrics.get("nll"))
    if "loss" not in renamed and loss is not None:
        renamed["loss"] = loss
    if "ended" in metrics:
        renamed[CLIPPED] = 1 - metrics["ended"]
    return renamed


def grouped_metrics(method: str, metrics: Mapping[str, float], kind: str) -> dict[str, float]:
    """Return metrics as transformers names them in charts: train/loss and eval/loss.

    >>> grouped_metrics("sft", {"nll": 2.0}, "held_out")
    {'eval/nll': 2.0, 'eval/loss': 2.0}
    """
    group = "train" if kind == "train" else "eval"
    return {f"{group}/{name}": value for name, value in trl_metrics(method, metrics).items()}
