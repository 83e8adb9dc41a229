"""Judges by the names that users give them; a model is loaded when it is asked for the first time.

runs/reward-1                           a reward model
runs/sft-1, ./base, builtin:sprout      a language model, by the probabilities of the labels
http://localhost:8000/v1#name           a chat server
http://localhost:8000/v1/systemone      a server for typed decisions
json, rules.py:concise                  a rule, or a function of the user
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from upbring import durable
from upbring.errors import InputError
from upbring.evaluate.model_protocol import fingerprint
from upbring.judge import wording
from upbring.judge.endpoint_judge import DecisionJudge, EndpointJudge
from upbring.judge.judgment import Judge, JudgeQuestion, Judgment
from upbring.judge.load_function import load_function
from upbring.judge.local_judge import LocalJudge
from upbring.judge.scoring_judges import RewardJudge, make_rule_judge
from upbring.model.gguf.locate_model import locate_model
from upbring.model.load import weights_sha256
from upbring.remote.address import is_url
from upbring.remote.client import CallLimits, Client
from upbring.rules.by_name import is_function
from upbring.runs.contract import read_contract
from upbring.runs.find_model import find_local_model
from upbring.runs.json_object import read_json_object
from upbring.runs.results import JudgeQuality, find_judge_quality
from upbring.settings.model import ModelSettings
from upbring.stages.evaluation.models import hash_model, load_local_model
from upbring.stages.evaluation.reward_judge import ComputeSettings, LazyRewardModel
from upbring.stages.open_client import open_client
from upbring.tracking import Track, no_tracking

REASONING_TOKENS = 256  # of a local model


@dataclass(frozen=True)
class JudgeOptions:
    """How judges are asked, and what they may use."""

    compute: ComputeSettings  # dtype, device and threads
    calls: durable.KeyedRows | None = None  # stored replies of servers
    limits: CallLimits | None = None
    num_samples: int = 5
    has_reasoning: bool = False
    log: Callable[[str], None] = lambda _: None
    poll: Callable[[], None] = lambda: None
    track: Track = no_tracking
    client: Client | None = None  # of the server, if it is open already: it has one budget


def make_named_judge(name: str, options: JudgeOptions) -> Judge:
    """Return the judge of a name."""
    if is_url(name):
        client = options.client or open_client(
            name, options.calls, limits=options.limits, poll=options.poll, log=options.log
        )
        if client.address.is_decision_server:
            return DecisionJudge(client)
        return EndpointJudge(client, options.num_samples, options.has_reasoning)
    if is_function(name):
        return make_rule_judge(load_function(name, "judge"), log=options.log)
    if is_reward_model(name):
        identity = f"reward {weights_sha256(locate_model(name))}"
        scorer = LazyRewardModel(name, options.compute, options.track)
        return RewardJudge(name, identity, scorer.scores)
    return LazyLocalJudge(name, options)


def compares(name: str) -> bool:
    """Whether a judge compares responses, instead of giving each a score."""
    if is_url(name) or is_function(name):
        return True
    try:
        return not is_reward_model(name)
    except InputError:  # there is no such model yet; it is reported when it is loaded
        return False


def writes_text(name: str) -> bool:
    """Whether a judge is a language model or a server, whose quality nothing else tells."""
    return is_url(name) or not (is_function(name) or is_reward_model(name))


def known_quality(name: str) -> JudgeQuality:
    """Return what is known about a judge that writes no text."""
    if is_function(name):
        return JudgeQuality(name, detail="a rule")
    return find_judge_quality(name)


def is_reward_model(name: str) -> bool:
    """Whether a model scores text and writes none, from its files alone."""
    if Path(name).is_file():  # a GGUF file, which holds a language model
        return False
    folder = find_local_model(name) or locate_model(name)
    contract = folder / "contract.json"
    if contract.is_file() and read_contract(contract).kind == "reward":
        return True
    task = read_json_object(folder / "adapter_config.json").get("task_type")
    names = read_json_object(folder / "config.json").get("architectures")
    is_classifier = isinstance(names, list) and any(
        str(each).endswith("ForSequenceClassification") for each in names
    )
    return task == "SEQ_CLS" or is_classifier


@dataclass
class LazyLocalJudge:
    """A language model on this machine, loaded when it is asked for the first time."""

    name: str
    options: JudgeOptions
    identity: str = ""
    _judge: LocalJudge | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        has_reasoning = self.options.has_reasoning
        self.identity = fingerprint("judge", hash_model(self.name), has_reasoning, wording.VERSION)

    @property
    def has_reasoning(self) -> bool:
        """Whether it reasons before it answers."""
        return self.options.has_reasoning

    def judge(self, questions: Sequence[JudgeQuestion]) -> list[Judgment]:
        """Return the judgment of each question."""
        if self._judge is None:
            options, compute = self.options, self.options.compute
            model = ModelSettings(
                model=self.name,
                dtype=compute.dtype,
                device=compute.device,
                threads=compute.threads,
            )
            local = load_local_model(
                model,
                max_tokens=REASONING_TOKENS,
                log=options.log,
                poll=options.poll,
                track=options.track,
            )
            generate = local.generate if options.has_reasoning else None
            self._judge = LocalJudge(
                self.name, self.identity, local.model, local.chat, generate, options.poll
            )
        return self._judge.judge(questions)
