import torch

from tests.algorithms.acting import made, settings, text
from upbring.algorithms.eval_sample import make_eval_sample
from upbring.algorithms.grpo import Grpo
from upbring.settings.methods.grpo import GrpoSettings


def test_a_sample_has_the_numbers_of_each_of_its_tokens() -> None:
    ours, _ = made(Grpo, settings(GrpoSettings, steps=1, num_generations=2))
    rollouts = ours._sample_held_out().select([1])
    sample = make_eval_sample(rollouts, text())
    tokens = rollouts.trees[0].branches[0].tokens.tolist()
    assert sample.response == " ".join(map(str, tokens))
    assert sample.metadata["tokens"] == [str(token) for token in tokens]
    gap = (rollouts.old_logprobs - rollouts.reference_logprobs).tolist()
    assert sample.metadata["kl"] == gap
    assert sample.metadata["reward"] == float(rollouts.rewards)
    assert "values" not in sample.metadata  # GRPO has no value model
    assert torch.is_tensor(rollouts.advantages)
