"""Reinforcement learning on the policy's own responses: the base of PPO, GRPO and RLOO.

A round samples responses, scores them with the reference and the reward function, and computes
advantages; the steps of the round train on it. A round is a pure function of the weights, the seed
and its number. It is part of the checkpoint: a resumed run continues with the same rollouts.

Left out: sampling temperatures other than 1, which differ from the trained distribution.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from upbring.algorithms.eval_sample import make_eval_sample
from upbring.algorithms.first_step import impossible_metric, on_policy_limits
from upbring.algorithms.judge_gain import evaluation_metrics, evaluation_scores
from upbring.algorithms.reward_sources import source_metrics, std_of_round
from upbring.algorithms.rollout_batch import RolloutBatch, gather_rollouts, restore_rollouts
from upbring.algorithms.sample_round import (
    PolicyRoles,
    ResponseDecoder,
    RoleModel,
    sample_and_score,
)
from upbring.data.trees.batch import Batch
from upbring.data.trees.stream import Stream
from upbring.data.trees.tree import Tree, Trees
from upbring.maths import counter_rng
from upbring.maths.kl import adapt_kl_weight, k3
from upbring.maths.segment_sums import segment_sum
from upbring.model.packing import group_micro_batches, make_micro_batches
from upbring.model.score import score_tokens
from upbring.plurals import format_count
from upbring.settings.methods.rl import OnPolicySettings
from upbring.train import processes
from upbring.train.algorithm import EvalSample, Evaluation, Term, Terms
from upbring.train.optimizer import ParameterGroup

NUM_SAMPLES = 3  # responses per evaluation that are recorded token by token
NO_ROUND = -1
MIN_REWARD_STD = 1e-6  # a smaller deviation is a rounding error


@dataclass(eq=False)
class OnPolicy(ABC):
    """Rounds of rollouts and the steps on them; subclasses define advantages and losses."""

    settings: OnPolicySettings
    roles: PolicyRoles
    trainable: list[ParameterGroup]
    prompts: Trees
    held_out: Trees
    decoder: ResponseDecoder
    micro_tokens: int
    is_rescored: bool  # recompute old log-probabilities, packed as in training
    replay: Stream | None = None
    sample_fixed_prompts: Callable[[], Sequence[EvalSample]] = list
    poll: Callable[[], None] = lambda: None
    log: Callable[[str], None] = lambda _: None
    steps: int = field(init=False)
    # the current round: `batches` writes it, `loss` reads it
    round_number: int = field(init=False, default=NO_ROUND)
    rollouts: RolloutBatch | None = field(init=False, default=None)
    beta: float = field(init=False)  # KL coefficient of this round
    is_first_minibatch: bool = field(init=False, default=False)
    is_ema_current: bool = field(init=False, default=True)
    # state that is carried from round to round
    reward_shift: float = field(init=False, default=0.0)
    reward_scale: float = field(init=False, default=1.0)
    initial_length: float = field(init=False, default=math.nan)  # mean, first round
    judge_history: list[float] = field(init=False, default_factory=list)  # one per evaluation
    initial_scores: list[float] = field(init=False, default_factory=list)  # of held-out prompts

    def __post_init__(self) -> None:
        rounds = max(1, round(self.settings.epochs * len(self.prompts) / self.num_prompts))
        self.steps = self.settings.steps or rounds * self.steps_per_round
        self.beta = self.settings.kl_coef
        self._prompt_order = Stream(self.prompts, (), self.settings.seed, 1.0, 1)

    @property
    def num_prompts(self) -> int:
        """The prompts of a round."""
        return self.settings.batch_size * self.settings.num_mini_batches

    @property
    def steps_per_round(self) -> int:
        """The optimizer steps of a round."""
        return self.settings.num_mini_batches * self.settings.update_epochs

    @abstractmethod
    def with_advantages(self, rollouts: RolloutBatch) -> RolloutBatch:
        """Return a whole round with token rewards and advantages."""

    @abstractmethod
    def loss_weights(self, rollouts: RolloutBatch) -> Mapping[str, Tensor]:
        """Return the weights of the terms of `losses` that have a coefficient."""

    @abstractmethod
    def losses(self, rollouts: RolloutBatch) -> Terms:
        """Return the loss terms of a micro-batch of rollouts, per item."""

    @property
    def is_policy_trained(self) -> bool:
        """Whether this round updates the policy; the value model may warm up first."""
        return True

    def parameters(self) -> list[ParameterGroup]:
        """Return the trained parameters and their moving average."""
        ema = {f"average.{i}": own for i, (own, _) in enumerate(self.roles.ema_parameters)}
        return [*self.trainable, ParameterGroup(ema)] if ema else self.trainable

    def batches(self, start: int) -> Iterator[Sequence[RolloutBatch | Batch]]:
        """Yield each step's micro-batches; a round is sampled before its first step."""
        for step in range(start, self.steps):
            number, step_in_round = divmod(step, self.steps_per_round)
            if number != self.round_number:
                reason = self.stop_reason()
                if reason is None:
                    self.sample_round(number)
                    reason = self.kl_stop_reason()
                if reason is not None:
                    self.log(f"step {step}: {reason}; stopping here")
                    return
            rollouts = self._rollout_micro_batches(step_in_round)
            replay = self._replay_micro_batches(step)
            self.is_first_minibatch, self.is_ema_current = step_in_round == 0, False
            yield [*rollouts, *replay]
            self.update_ema()

    def _rollout_micro_batches(self, step_in_round: int) -> Iterator[RolloutBatch]:
        assert self.rollouts is not None, "a round is sampled before its steps"
        prompts, model = self._minibatch(step_in_round), self.roles.policy.model
        shard = processes.shard([self.rollouts.trees[i].num_tokens for i in prompts])
        own = [prompts[i] for i in shard]
        trees = [self.rollouts.trees[i] for i in own]
        for group in group_micro_batches(model, trees, self.micro_tokens):
            yield self.rollouts.select([own[i] for i in group]).to(model.device)

    def _replay_micro_batches(self, step: int) -> list[Batch]:
        if self.replay is None or self.settings.mix_weight == 0:
            return []
        rows, model = self.replay.step_trees(step), self.roles.policy.model
        shard = processes.shard([row.num_tokens for row in rows])
        return make_micro_batches(model, [rows[i] for i in shard], self.micro_tokens)

    def _minibatch(self, step_in_round: int) -> list[int]:
        """Return the prompts of a step; each update epoch visits all of them in a new order."""
        epoch, part = divmod(step_in_round, self.settings.num_mini_batches)
        key = counter_rng.key(self.settings.seed, "minibatch", self.round_number, epoch)
        order = counter_rng.permutation(key, self.num_prompts).tolist()
        size = self.settings.batch_size
        return sorted(order[part * size : (part + 1) * size])

    def weights(self, batch: RolloutBatch | Batch) -> Mapping[str, Tensor]:
        """Return the weights of the items of each term that has a coefficient."""
        if isinstance(batch, RolloutBatch):
            return self.loss_weights(batch)
        return {"replay": batch.weight}

    def loss(self, batch: RolloutBatch | Batch) -> Terms:
        """Return the loss terms of rollouts, or of replayed rows."""
        if isinstance(batch, RolloutBatch):
            return self.losses(batch)
        # + γ E_{x∼D_pretrain}[log π(x)]                      (Ouyang et al. 2022, equation 2)
        loss = -self.policy_logprobs(batch) * float(self.is_policy_trained)
        return {"replay": Term(loss, batch.weight, self.settings.mix_weight)}

    def policy_logprobs(self, batch: Batch) -> Tensor:
        """Return the policy's log-probabilities `[R]`."""
        with self.roles.policy.active():
            return score_tokens(self.roles.policy.model, batch).logprobs

    def metrics(self, rollouts: RolloutBatch, logprobs: Tensor) -> dict[str, Term]:
        """Return the metrics of a micro-batch under the current policy's `logprobs` `[R]`."""
        batch, N = rollouts.batch, len(rollouts.rewards)
        per_token, per_response = torch.ones_like(batch.weight), batch.weight.new_ones(N)
        lengths = segment_sum(per_token, batch.branch_index, N)  # [N]
        logprobs = logprobs.detach()
        log_ratio = logprobs - rollouts.old_logprobs  # [R]
        ratio = log_ratio.exp()
        is_clipped = ((ratio - 1).abs() > self.settings.clip_range).to(per_token.dtype)
        sampler_gap = (logprobs - rollouts.sampled_logprobs).abs()
        assert rollouts.kl is not None, "every round has its KL"
        assert rollouts.reward_std is not None, "every round has its deviation"
        return {
            "reward": Term(rollouts.rewards.float(), per_response, 0),
            "reward_deviation": Term(rollouts.reward_std, per_response, 0),
            "kl": Term(rollouts.kl, per_response, 0),
            "length": Term(lengths, per_response, 0),
            "length_ratio": Term(lengths / self.initial_length, per_response, 0),
            "ended": Term(rollouts.is_finished, per_response, 0),
            "entropy": Term(-rollouts.old_logprobs, per_token, 0),
            "ratio": Term(ratio, per_token, 0),
            "log_ratio": Term(log_ratio.abs(), per_token, 0),  # checked by the step guard
            "clip_fraction": Term(is_clipped, per_token, 0),
            "sampler_gap": Term(sampler_gap, per_token * self.is_first_minibatch, 0),
            "beta": Term(per_response * self.beta, per_response, 0),
            **source_metrics(rollouts, self.roles.source_names),
        }

    def first_step_error(self, values: Mapping[str, float]) -> str | None:
        """Return which metric is impossible before the first update, or None."""
        limits = on_policy_limits(self.roles.policy.model.rounding, values["length"])
        return impossible_metric(values, limits)

    def stop_reason(self) -> str | None:
        """Return why training stops before a new round: the judge's scores stopped improving."""
        history = self.judge_history
        since = history[::-1].index(max(history)) if history else 0
        if since < self.settings.patience:
            return None
        return f"the judge's score has been below its best for {format_count(since, 'evaluation')}"

    def kl_stop_reason(self) -> str | None:
        """Return why training stops before the round's steps: the KL exceeds `max_kl`."""
        limit, kl = self.settings.max_kl, self.round_kl()
        if limit is None or kl <= limit:
            return None
        return f"the KL to the reference is {kl:.3g} nats per response, above max_kl {limit:g}"

    def round_kl(self) -> float:
        """Return the mean KL to the reference of the round's responses, in nats."""
        assert self.rollouts is not None, "there is a round"
        assert self.rollouts.kl is not None, "every round has its KL"
        return float(self.rollouts.kl.mean())

    def sample_round(self, number: int) -> None:
        """Sample a round and compute its advantages.

        The state changes only after the sampling, which may be interrupted and followed by a save.
        """
        beta = self._next_beta()
        prompts = self._round_prompts(number)
        keys = [self._sampling_keys("rollout", number, i) for i in range(len(prompts))]
        rollouts = self._sample_and_score(self.roles.policy, prompts, keys)
        if math.isnan(self.initial_length):  # the first round, or the first after a rollback
            self._measure_first_round(rollouts)
        self.beta, self.round_number = beta, number
        self.rollouts = self.complete(rollouts)

    def _next_beta(self) -> float:
        settings = self.settings
        if self.rollouts is None or settings.kl_target is None:
            return self.beta
        return adapt_kl_weight(
            self.beta,
            self.round_kl(),
            target=settings.kl_target,
            num_responses=self.num_prompts * settings.num_generations,
            horizon=settings.kl_horizon,
        )

    def _round_prompts(self, number: int) -> list[Tree]:
        first = number * self.num_prompts
        return [self._prompt_order.example(first + i) for i in range(self.num_prompts)]

    def _sampling_keys(self, purpose: str, number: int, index: int) -> tuple[int, ...]:
        return tuple(
            counter_rng.key(self.settings.seed, purpose, number, index, sample)
            for sample in range(self.settings.num_generations)
        )

    def _sample_and_score(
        self,
        policy: RoleModel,
        prompts: Sequence[Tree],
        keys: Sequence[tuple[int, ...]],
        *,
        is_evaluation: bool = False,
    ) -> RolloutBatch:
        """Return scored responses to prompts; each process samples for a shard of them."""
        is_rescored = self.is_rescored and (is_evaluation or self.settings.needs_old_logprobs)
        shard = processes.shard([len(prompt.prompt) for prompt in prompts])
        own = None
        if shard:
            own = sample_and_score(
                policy,
                self.roles,
                [prompts[i] for i in shard],
                [keys[i] for i in shard],
                decoder=self.decoder,
                max_tokens=self.settings.max_response_length,
                micro_tokens=self.micro_tokens,
                score_policy=partial(self.score_policy, is_rescored=is_rescored),
                judge=self.roles.judge if is_evaluation else None,
                poll=self.poll,
            )
        return gather_rollouts(prompts, shard, own)

    def score_policy(
        self, policy: RoleModel, batch: Batch, *, is_rescored: bool
    ) -> dict[str, Tensor]:
        """Return `old_logprobs` `[R]` as computed in training; the sampler's may differ."""
        if not is_rescored:
            return {}
        with policy.active():
            return {"old_logprobs": score_tokens(policy.model, batch).logprobs}

    def _measure_first_round(self, rollouts: RolloutBatch) -> None:
        """Record the mean length of the first responses, and their mean reward and its scale."""
        rewards = rollouts.rewards.double()  # [N]
        self.initial_length = len(rollouts.old_logprobs) / len(rewards)
        if self.settings.normalize_rewards != "none":
            self.reward_shift = float(rewards.mean())
        if self.settings.normalize_rewards == "scale":
            std = float(rewards.std(correction=0))
            self.reward_scale = std if std > MIN_REWARD_STD else 1.0

    def complete(self, rollouts: RolloutBatch) -> RolloutBatch:
        """Return a round with its KL, normalized rewards and advantages."""
        rewards = rollouts.rewards.double()  # [N]
        gap = k3(rollouts.old_logprobs, rollouts.reference_logprobs)  # [R]
        sources = rollouts.source_rewards  # [N, S]
        return self.with_advantages(
            replace(
                rollouts,
                kl=segment_sum(gap, rollouts.batch.branch_index, len(rewards)),
                normalized_rewards=((rewards - self.reward_shift) / self.reward_scale).float(),
                reward_std=std_of_round(rewards),
                source_stds=None if sources is None else std_of_round(sources),
            )
        )

    def evaluate(self, step: int) -> Evaluation:
        """Return reward and judge metrics of held-out prompts, and some samples token by token.

        The criterion is the judge's score or, without a judge, the reward less the KL penalty.
        Weights with a KL above `max_kl` have no criterion and are not kept.
        """
        del step
        self.update_ema()
        rollouts = self._sample_held_out()
        scores = evaluation_scores(rollouts, kl_coef=self.settings.kl_coef)  # [N]
        values = evaluation_metrics(rollouts, scores, self.initial_scores)
        values["length"] = len(rollouts.old_logprobs) / len(scores)
        is_near = values["kl"] <= (self.settings.max_kl or math.inf)
        count = min(NUM_SAMPLES, len(rollouts.trees))
        samples = [make_eval_sample(rollouts.select([i]), self.decoder) for i in range(count)]
        fixed = self.sample_fixed_prompts()
        # last: an interrupted evaluation runs again and must not count twice
        self.judge_history += [values["judge"]] if "judge" in values else []
        self.initial_scores = self.initial_scores or scores.tolist()
        criterion = -float(scores.mean()) if is_near else None
        return Evaluation(values, criterion, (*fixed, *samples))

    def _sample_held_out(self) -> RolloutBatch:
        """Return one response to each held-out prompt, with rewards and judge scores."""
        source = self.held_out if len(self.held_out) else self.prompts
        count = min(len(source), self.settings.eval_prompts)
        prompts = [source[i] for i in range(count)]
        keys = [self._sampling_keys("judged", 0, i)[:1] for i in range(count)]
        policy = self.roles.ema or self.roles.policy
        return self.complete(self._sample_and_score(policy, prompts, keys, is_evaluation=True))

    @torch.no_grad()
    def update_ema(self) -> None:
        """Update the moving average of the weights, once per step."""
        if not self.is_ema_current:
            self.is_ema_current = True
            for own, policy in self.roles.ema_parameters:
                own.lerp_(policy, 1 - self.settings.ema_decay)

    def state(self) -> dict[str, Tensor]:
        """Return the round and the state that is carried from round to round."""
        self.update_ema()
        shift, scale = self.reward_shift, self.reward_scale
        numbers = [self.beta, shift, scale, self.initial_length, float(self.round_number)]
        rollouts = {} if self.rollouts is None else self.rollouts.state()
        return {
            "numbers": torch.tensor(numbers, dtype=torch.float64),
            "judge_history": torch.tensor(self.judge_history, dtype=torch.float64),
            "initial_scores": torch.tensor(self.initial_scores, dtype=torch.float64),
            **{f"rollouts/{name}": tensor for name, tensor in rollouts.items()},
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Restore a result of `state`."""
        self.beta, self.reward_shift, self.reward_scale, self.initial_length, number = state[
            "numbers"
        ].tolist()
        self.round_number = int(number)
        self.judge_history = state["judge_history"].tolist()
        self.initial_scores = state["initial_scores"].tolist()
        prefix = "rollouts/"
        own = {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
        prompts = self._round_prompts(self.round_number) if own else []
        self.rollouts = restore_rollouts(prompts, own) if own else None
        self.is_ema_current = True
