"""A response to a held-out prompt as it is recorded: its scores, and the numbers of each token."""

from upbring.algorithms.rollout_batch import RolloutBatch
from upbring.algorithms.sample_round import ResponseDecoder
from upbring.train.algorithm import EvalSample


def make_eval_sample(rollouts: RolloutBatch, decoder: ResponseDecoder) -> EvalSample:
    """Return the only response of `rollouts` with its scores and the numbers of each token."""
    (tree,) = rollouts.trees
    (branch,) = tree.branches
    response, decode = branch.tokens.tolist(), decoder.decode
    scores = {"reward": rollouts.rewards, "judge": rollouts.judge_scores}
    per_token = {
        "kl": rollouts.old_logprobs - rollouts.reference_logprobs,
        "rewards": rollouts.token_rewards,
        "values": rollouts.values,
        "advantages": rollouts.advantages,
    }
    return EvalSample(
        decode(tree.prompt.tolist()),
        decode(response),
        {
            **{name: float(value) for name, value in scores.items() if value is not None},
            "tokens": [decoder.token_text(token) for token in response],
            **{name: own.tolist() for name, own in per_token.items() if own is not None},
        },
    )
