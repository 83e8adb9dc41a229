"""Learning from the policy's own responses: what PPO, GRPO and RLOO have in common.

A round draws responses, scores them by reference and reward, and says how much each token is worth;
its steps then learn from it. A round is a pure function of the weights, the seed and its number,
and part of the state, so that a run resumed in its middle goes on with the same rollouts.

Left out: temperatures other than 1, which would make the drawn probabilities others than the
learned ones.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from upbring.algorithms.judge_gain import evaluation_metrics, evaluation_scores
from upbring.algorithms.rollout_batch import (
    RewardFunction,
    RoleModel,
    annotated,
    exchanged,
    flatten_rollouts,
    grown,
    make_rollouts,
    noted,
    sample_rollouts,
)
from upbring.data.trees.batch import Batch, make_batch
from upbring.data.trees.stream import Stream
from upbring.data.trees.tree import Tree, Trees
from upbring.errors import InputError
from upbring.maths import counter_rng
from upbring.maths.kl import adapt_kl_weight, k3
from upbring.maths.segments import segment_sum
from upbring.model.packing import make_micro_batches
from upbring.model.score import score_tokens
from upbring.settings.methods.rl import OnPolicySettings
from upbring.train import processes
from upbring.train.algorithm import EvalSample, Evaluation, Term, Terms
from upbring.train.optimizer import ParameterGroup

NUM_SHOWN = 3  # responses whose tokens are written down at each evaluation
NEVER = -1
LEAST_SPREAD = 1e-6  # of rewards; less is rounding


@dataclass(frozen=True, slots=True, eq=False)
class PolicyRoles:
    """Who speaks, who rewards and who judges: what the recipe brings together."""

    policy: RoleModel
    reference: RoleModel
    reward: RewardFunction
    judge: RewardFunction | None = None  # never learned from
    ema: RoleModel | None = None  # the average of the policy's weights, if that is kept
    ema_parameters: Sequence[tuple[nn.Parameter, nn.Parameter]] = ()  # the average's, the policy's


@dataclass(frozen=True, slots=True, eq=False)
class ResponseDecoder:
    """How tokens are read and what ends a response."""

    decode: Callable[[Sequence[int]], str]
    token_text: Callable[[int], str]  # a token, special ones too
    stop_token_ids: tuple[int, ...]


@dataclass(eq=False)
class OnPolicy(ABC):
    """Rounds of rollouts, and the steps that learn from them; what a token is worth is a method's."""

    settings: OnPolicySettings
    roles: PolicyRoles
    trainable: list[ParameterGroup]
    prompts: Trees
    held_out: Trees
    decoder: ResponseDecoder
    micro_tokens: int
    is_rescored: bool  # whether the policy scores its responses again, packed as it learns them
    replay: Stream | None = None
    sample_responses: Callable[[], Sequence[EvalSample]] = list
    poll: Callable[[], None] = lambda: None
    log: Callable[[str], None] = lambda _: None
    steps: int = field(init=False)
    beta: float = field(init=False)  # weight of the divergence in this round
    number: int = field(init=False, default=NEVER)  # of the round
    trees: list[Tree] = field(init=False, default_factory=list)  # of the round
    shift: float = field(init=False, default=0.0)  # of rewards
    scale: float = field(init=False, default=1.0)
    usual: float = field(init=False, default=math.nan)  # length of the first round's responses
    judged: list[float] = field(init=False, default_factory=list)  # at each evaluation
    began: list[float] = field(init=False, default_factory=list)  # each held-out prompt's first
    is_first: bool = field(init=False, default=False)  # whether the policy is as it drew
    is_followed: bool = field(init=False, default=True)  # whether the average has the last step

    def __post_init__(self) -> None:
        per_epoch = len(self.prompts) / self.num_prompts
        rounds = max(1, round(self.settings.epochs * per_epoch))
        self.steps = self.settings.steps or rounds * self.steps_per_round
        self.beta = self.settings.kl_coef
        self._order = Stream(self.prompts, (), self.settings.seed, 1.0, 1)

    @property
    def num_prompts(self) -> int:
        """Prompts of a round."""
        return self.settings.batch_size * self.settings.num_mini_batches

    @property
    def steps_per_round(self) -> int:
        """Steps that learn from one round."""
        return self.settings.num_mini_batches * self.settings.update_epochs

    @abstractmethod
    def rewards_and_advantages(
        self, batch: Batch
    ) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """Return notes `[R]` and facts `[N]` about a whole round: what each token is worth."""

    @abstractmethod
    def losses(self, batch: Batch) -> Terms:
        """Return the terms of a batch of rollouts."""

    @abstractmethod
    def loss_weights(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the weights of those of `losses`'s terms that have a coefficient."""

    def score_old_logprobs(self, role_model: RoleModel, batch: Batch) -> dict[str, Tensor]:
        """Return what `role_model` thinks of the tokens of a batch, `[R]`: the policy when it drew."""
        if not self.is_rescored:
            return {"old": batch.per_token["sampled"]}
        with role_model.active():
            return {"old": score_tokens(role_model.model, batch).logprobs}

    def parameters(self) -> list[ParameterGroup]:
        """Return what learns, and the average that follows it."""
        average = {f"average.{i}": kept for i, (kept, _) in enumerate(self.roles.ema_parameters)}
        return [*self.trainable, ParameterGroup(average)] if average else self.trainable

    def batches(self, start: int) -> Iterator[Sequence[Batch]]:
        """Yield each step's minibatch; the first step of a round draws it before."""
        for step in range(start, self.steps):
            number, inside = divmod(step, self.steps_per_round)
            reason = (
                (self._should_stop() or self._sample_round(number))
                if number != self.number
                else None
            )
            if reason is not None:
                self.log(f"step {step}: {reason}; stopping here")
                return
            chosen = self._minibatch(inside)
            mine = processes.shard([tree.num_tokens for tree in chosen])
            batches = self._rows([chosen[i] for i in mine])
            if self.replay is not None and self.settings.mix_weight > 0:
                rows = self.replay.step_trees(step)
                shares = processes.shard([row.num_tokens for row in rows])
                batches += self._rows([rows[i] for i in shares])
            self.is_first, self.is_followed = inside == 0, False
            yield batches
            self._update_ema()

    def _rows(self, trees: Sequence[Tree]) -> list[Batch]:
        model = self.roles.policy.model
        return make_micro_batches(model, trees, self.micro_tokens, lanes=model.lanes)

    @property
    def moves(self) -> bool:
        """Whether the policy learns from this round; a value may have to come first."""
        return True

    def weights(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return what each item of each term weighs."""
        return {"replay": batch.weight} if _is_replay(batch) else self.loss_weights(batch)

    def loss(self, batch: Batch) -> Terms:
        """Return the terms of rollouts, or of rows that are replayed."""
        if _is_replay(batch):
            # + γ E_{x∼D_pretrain}[log π(x)]                  (Ouyang et al. 2022, equation 2)
            with self.roles.policy.active():
                logprobs = score_tokens(self.roles.policy.model, batch).logprobs  # [R]
            loss = -logprobs * float(self.moves)
            return {"replay": Term(loss, batch.weight, self.settings.mix_weight)}
        return self.losses(batch)

    def seen(self, batch: Batch, logprobs: Tensor) -> dict[str, Term]:
        """Return the metrics of a batch of rollouts, under the policy's `logprobs` `[R]` of now."""
        N = len(batch.last_index)
        one, each = torch.ones_like(batch.weight), batch.weight.new_ones(N)
        length = segment_sum(one, batch.branch_index, N)  # [N]
        facts, notes, now = batch.per_branch, batch.per_token, logprobs.detach()
        logratio = now - notes["old"]  # [R]
        ratio = logratio.exp()
        is_out = ((ratio - 1).abs() > self.settings.clip_range).to(one.dtype)
        return {
            "reward": Term(facts["reward"], each, 0),
            "reward_deviation": Term(facts["reward_deviation"], each, 0),
            "kl": Term(facts["kl"], each, 0),
            "length": Term(length, each, 0),
            "length_ratio": Term(length / self.usual, each, 0),
            "ended": Term(facts["ended"], each, 0),
            "entropy": Term(-notes["old"], one, 0),
            "ratio": Term(ratio, one, 0),
            "log_ratio": Term(logratio.abs(), one, 0),  # which the guard watches
            "clip_fraction": Term(is_out, one, 0),
            "sampler_gap": Term((now - notes["sampled"]).abs(), one * self.is_first, 0),
            "beta": Term(each * self.beta, each, 0),
        }

    def evaluate(self, step: int) -> Evaluation:
        """Return what rewards and judge say of held-out prompts, and some answers token by token.

        The criterion is the judge's score or, without one, what is maximised: the reward less the
        divergence. Beyond the budget of divergence nothing is kept.
        """
        del step
        self._update_ema()
        batch = make_batch(trees := self._held_out())
        scores = evaluation_scores(batch.per_branch, kl_coef=self.settings.kl_coef)  # [N]
        values = evaluation_metrics(batch.per_branch, scores, self.began)
        values["length"] = float(batch.weight.sum()) / len(scores)
        is_near = values["kl"] <= (self.settings.max_kl or math.inf)
        shown = [self._shown(tree) for tree in trees[:NUM_SHOWN]]
        criterion = -float(scores.mean()) if is_near else None
        answers = self.sample_responses()
        # last of all: answering may be interrupted, and all is done again then
        self.judged += [values["judge"]] if "judge" in values else []
        self.began = self.began or scores.tolist()
        return Evaluation(values, criterion, (*answers, *shown))

    def state(self) -> dict[str, Tensor]:
        """Return the round that is being learned from, and what rounds leave to one another."""
        self._update_ema()
        arrays = flatten_rollouts(self.trees) if self.number != NEVER else {}
        left = [self.beta, self.shift, self.scale, self.usual, float(self.number)]
        return {
            "numbers": torch.tensor(left, dtype=torch.float64),
            "judged": torch.tensor(self.judged, dtype=torch.float64),
            "began": torch.tensor(self.began, dtype=torch.float64),
            **{f"round/{name}": torch.from_numpy(array) for name, array in arrays.items()},
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back a round and what was left by those before."""
        self.beta, self.shift, self.scale, self.usual, number = state["numbers"].tolist()
        self.number, self.judged = int(number), state["judged"].tolist()
        self.began = state.get("began", torch.empty(0)).tolist()  # none from an earlier version
        arrays = {n.removeprefix("round/"): t.numpy() for n, t in state.items() if "/" in n}
        self.trees = grown(self._prompts(self.number), arrays) if arrays else []
        self.is_followed = True

    def _should_stop(self) -> str | None:
        """Return why no further round is to be drawn, if the judge gives a reason."""
        since = self.judged[::-1].index(max(self.judged)) if self.judged else 0
        if since < self.settings.patience:
            return None
        return f"the judge has been below its best for {since} evaluations"

    def _kl(self) -> float:
        return float(make_batch(self.trees).per_branch["kl"].mean())

    def _sample_round(self, number: int) -> str | None:
        """Draw a round, and say what its tokens are worth; return why not to learn from it."""
        settings, beta = self.settings, self.beta
        if self.trees and settings.kl_target is not None:
            count = self.num_prompts * settings.num_generations
            beta = adapt_kl_weight(
                beta,
                self._kl(),
                target=settings.kl_target,
                num_responses=count,
                horizon=settings.kl_horizon,
            )
        prompts = self._prompts(number)
        keys = [self._keys("rollout", number, i) for i in range(len(prompts))]
        trees = self._rolled(self.roles.policy, prompts, keys)
        if math.isnan(self.usual):  # the first round, or the first after going back to the start
            self._measure(make_batch(trees))
        self.beta, self.number = beta, number  # not before: drawing may be interrupted, and saved
        self.trees = self.credited(trees)
        if settings.max_kl is None or self._kl() <= settings.max_kl:
            return None
        return f"responses diverge by {self._kl():.3g} nats, above max_kl {settings.max_kl:g}"

    def _prompts(self, number: int) -> list[Tree]:
        first = number * self.num_prompts
        return [self._order.example(first + i) for i in range(self.num_prompts)]

    def _keys(self, purpose: str, number: int, index: int) -> tuple[int, ...]:
        return tuple(
            counter_rng.key(self.settings.seed, purpose, number, index, sample)
            for sample in range(self.settings.num_generations)
        )

    def _rolled(
        self,
        voice: RoleModel,
        prompts: Sequence[Tree],
        keys: Sequence[tuple[int, ...]],
        judge: RewardFunction | None = None,
    ) -> list[Tree]:
        """Return responses to prompts with what everybody says of them; each process does some."""
        mine = processes.shard([len(prompt.prompt) for prompt in prompts])
        trees = sample_rollouts(
            voice,
            [prompts[i] for i in mine],
            [keys[i] for i in mine],
            max_tokens=self.settings.max_response_length,
            stop_token_ids=self.decoder.stop_token_ids,
            poll=self.poll,
        )
        trees = noted(
            voice.model, trees, self.micro_tokens, lambda batch: self._notes(voice, batch)
        )
        trees = self._rewarded(trees, self.roles.reward, "reward")
        if judge is not None:
            trees = self._rewarded(trees, judge, "judge")
        return exchanged(prompts, mine, trees)

    def _notes(self, voice: RoleModel, batch: Batch) -> dict[str, Tensor]:
        """Return what `role_model` and the reference think of the tokens of a batch, `[R]` each."""
        with self.roles.reference.active():
            reference = score_tokens(self.roles.reference.model, batch).logprobs  # [R]
        return {"reference": reference, **self.score_old_logprobs(voice, batch)}

    def _rewarded(self, trees: list[Tree], reward: RewardFunction, name: str) -> list[Tree]:
        if not trees:
            return trees
        some = make_rollouts(trees, self.decoder.stop_token_ids, self.decoder.decode)
        found = [float(value) for value in reward(some)]
        wrong = [value for value in found if not math.isfinite(value)]
        if len(found) != len(some) or wrong:
            told = f"the number {wrong[0]}" if wrong else f"{len(found)} numbers"
            raise InputError(
                f"{name}: gave {told} for {len(some)} responses; it must give a finite one for each"
            )
        return annotated(trees, facts={name: torch.tensor(found, dtype=torch.float64)})

    def _measure(self, batch: Batch) -> None:
        """Take note of the first round: how long responses are, and where their rewards lie."""
        rewards = batch.per_branch["reward"]  # [N]
        self.usual = len(batch.weight) / len(rewards)
        if self.settings.normalize_rewards != "none":
            self.shift = float(rewards.mean())
        if self.settings.normalize_rewards == "scale":
            spread = float(rewards.std(correction=0))
            self.scale = spread if spread > LEAST_SPREAD else 1.0  # alike, they tell no scale

    def credited(self, trees: Sequence[Tree]) -> list[Tree]:
        """Return rollouts with what their tokens are worth."""
        batch = make_batch(trees)
        rewards = batch.per_branch["reward"]  # [N]
        gap = k3(batch.per_token["old"], batch.per_token["reference"])  # [R]
        facts = {
            "kl": segment_sum(gap, batch.branch_index, len(rewards)),
            "gain": (rewards - self.shift) / self.scale,
            "reward_deviation": rewards.std(correction=0).expand_as(rewards),
        }
        trees = annotated(trees, facts=facts)
        notes, more = self.rewards_and_advantages(make_batch(trees))
        return annotated(trees, notes=notes, facts=more)

    def _minibatch(self, inside: int) -> list[Tree]:
        """Return the trees of a round's step: each inner epoch goes through all, in a new order."""
        epoch, part = divmod(inside, self.settings.num_mini_batches)
        key = counter_rng.key(self.settings.seed, "minibatch", self.number, epoch)
        order = counter_rng.permutation(key, len(self.trees)).tolist()
        size = self.settings.batch_size
        return [self.trees[i] for i in sorted(order[part * size : (part + 1) * size])]

    @torch.no_grad()
    def _update_ema(self) -> None:
        """Let the average take in the last step, once."""
        if not self.is_followed:
            self.is_followed = True
            for kept, policy in self.roles.ema_parameters:
                kept.lerp_(policy, 1 - self.settings.ema_decay)

    def _held_out(self) -> list[Tree]:
        """Return one response to each held-out prompt, rewarded and judged."""
        source = self.held_out if len(self.held_out) else self.prompts
        count = min(len(source), self.settings.eval_prompts)
        prompts = [source[i] for i in range(count)]
        keys = [self._keys("judged", 0, i)[:1] for i in range(count)]
        voice = self.roles.ema or self.roles.policy
        return self.credited(self._rolled(voice, prompts, keys, self.roles.judge))

    def _shown(self, tree: Tree) -> EvalSample:
        """Return a response with what is known of it and of each of its tokens."""
        (branch,) = tree.branches
        tokens = [self.decoder.token_text(token) for token in branch.tokens.tolist()]
        gap = branch.per_token["old"] - branch.per_token["reference"]
        wanted = {"rewards": "reward", "values": "value", "advantages": "advantage"}
        numbers = {
            n: branch.per_token[k].tolist() for n, k in wanted.items() if k in branch.per_token
        }
        facts = {
            n: float(tree.per_branch[n][0]) for n in ("reward", "judge") if n in tree.per_branch
        }
        return EvalSample(
            self.decoder.decode(tree.prompt.tolist()),
            self.decoder.decode(branch.tokens.tolist()),
            {**facts, "tokens": tokens, "kl": gap.tolist(), **numbers},
        )


def _is_replay(batch: Batch) -> bool:
    return "sampled" not in batch.per_token
