"""A server as a judge: the log-probabilities of the first token, or else a number of samples.

The first reply decides which: if it has no log-probabilities, or the server refuses to return them,
each question is sampled several times at temperature 1, and the shares are the probabilities.
Servers for typed decisions (`/v1/systemone`) return a probability for each allowed answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from upbring.data.read.records import Message
from upbring.judge.judgment import (
    Dialogue,
    JudgeQuestion,
    Judgment,
    OrderVerdict,
    judge_both_orders,
)
from upbring.judge.wording import (
    MIN_LABEL_MASS,
    VERSION,
    format_dialogue,
    judge_prompt,
    label_weights,
    labels,
    parse_letter,
    verdict_of_letter,
    verdict_of_weights,
)
from upbring.remote.chat import ChatOptions, chat_call, chat_text, first_token_logprobs
from upbring.remote.client import Call, Client, Reply, dig
from upbring.remote.transport import RefusedError

TOP_LOGPROBS = 20  # the most that OpenAI returns
LETTER_TOKENS = 4  # a letter, and what reveals that it begins a sentence
REASONING_TOKENS = 512
BAD_REQUEST_STATUSES = frozenset({400, 422})

Mode = Literal["logprobs", "samples", "reasoning"]


@dataclass
class EndpointJudge:
    """A language model behind a chat endpoint."""

    client: Client
    num_samples: int = 5  # per order, if the server returns no log-probabilities
    has_reasoning: bool = False
    mode: Mode | None = field(default=None, init=False)  # how it answers, once known

    @property
    def name(self) -> str:
        """The address of the server."""
        return self.client.name

    @property
    def identity(self) -> str:
        """The address and the settings; the weights behind it are not known."""
        return f"{self.name} {self.num_samples} {self.has_reasoning} {VERSION}"

    def judge(self, questions: Sequence[JudgeQuestion]) -> list[Judgment]:
        """Return the judgment of each question."""
        if self.mode is None and questions:
            self.mode = "reasoning" if self.has_reasoning else self._find_mode(questions[0])
        return judge_both_orders(questions, self._ask)

    def _find_mode(self, question: JudgeQuestion) -> Mode:
        try:
            (reply,) = self.client.call_all([self._call(question, _logprob_options())])
        except RefusedError as error:
            if error.status not in BAD_REQUEST_STATUSES:
                raise
            return "samples"
        return "logprobs" if first_token_logprobs(reply) else "samples"

    def _ask(self, questions: Sequence[JudgeQuestion]) -> list[OrderVerdict]:
        if self.mode == "logprobs":
            options = [_logprob_options()]
        elif self.mode == "reasoning":
            options = [ChatOptions(REASONING_TOKENS)]
        else:
            options = [
                ChatOptions(LETTER_TOKENS, temperature=1.0, seed=n) for n in range(self.num_samples)
            ]
        replies = self.client.call_all([self._call(q, each) for q in questions for each in options])
        return [
            self._verdict(question, replies[i * len(options) : (i + 1) * len(options)])
            for i, question in enumerate(questions)
        ]

    def _verdict(self, question: JudgeQuestion, replies: Sequence[Reply]) -> OrderVerdict:
        letters = labels(question)
        texts = [chat_text(reply, self.name) for reply in replies]
        found = [parse_letter(text, letters) for text in texts]
        if self.mode == "logprobs":
            return _logprob_verdict(letters, replies[0], texts[0], found[0])
        if self.mode == "reasoning":
            return verdict_of_letter(found[0], letters, text=texts[0])
        if found.count(None) * 2 > len(found):  # most samples are prose
            return OrderVerdict(None, text=texts[found.index(None)])
        return verdict_of_weights([float(found.count(letter)) for letter in letters])

    def _call(self, question: JudgeQuestion, options: ChatOptions) -> Call:
        prompt = judge_prompt(question, has_reasoning=self.has_reasoning)
        return chat_call(_to_dicts(prompt), options, model=self.client.address.model)


@dataclass
class DecisionJudge:
    """A server for typed decisions: one choice per order, with the option "cannot say"."""

    client: Client
    has_reasoning: bool = False

    @property
    def name(self) -> str:
        """The address of the server."""
        return self.client.name

    @property
    def identity(self) -> str:
        """The address; the weights behind it are not known."""
        return f"{self.name} decisions {VERSION}"

    def judge(self, questions: Sequence[JudgeQuestion]) -> list[Judgment]:
        """Return the judgment of each question."""
        return judge_both_orders(questions, self._ask)

    def _ask(self, questions: Sequence[JudgeQuestion]) -> list[OrderVerdict]:
        replies = self.client.call_all([self._call(each) for each in questions])
        return [_decision_verdict(q, r) for q, r in zip(questions, replies, strict=True)]

    def _call(self, question: JudgeQuestion) -> Call:
        letters, cannot_say = labels(question)[:-1], labels(question)[-1]
        state: dict[str, str] = {"dialogue": format_dialogue(question.prompt)}
        state |= {f"answer {a}": r for a, r in zip(letters, question.responses, strict=True)}
        options = {letter: f"Answer {letter} is better." for letter in letters}
        options[cannot_say] = "They are equally good in this respect, or it does not apply."
        asked = {"type": "choice", "instructions": question.criterion, "criteria": options}
        model = self.client.address.model
        return Call("", {"model": model, "state": state, "questions": {"better": asked}})


def _logprob_options() -> ChatOptions:
    return ChatOptions(LETTER_TOKENS, top_logprobs=TOP_LOGPROBS)


def _logprob_verdict(letters: str, reply: Reply, text: str, letter: str | None) -> OrderVerdict:
    """Return the verdict of the first token; prose is not understood, even if it begins with A."""
    logprobs = first_token_logprobs(reply)
    if letter is None or logprobs is None:
        return OrderVerdict(None, text=text)
    weights = label_weights(logprobs, letters)
    mass = sum(weights)
    if mass < MIN_LABEL_MASS:
        return OrderVerdict(None, label_mass=mass, text=text)
    return verdict_of_weights(weights, label_mass=mass, text=text)


def _decision_verdict(question: JudgeQuestion, reply: Reply) -> OrderVerdict:
    letters = labels(question)
    answer = dig(reply, "answers", "better")
    weights = [dig(answer, "probabilities", letter) for letter in letters]
    mass = dig(answer, "label_mass")
    if mass is None:
        mass = dig(answer, "diagnostics", "label_mass")
    label_mass = float(mass) if isinstance(mass, int | float) else None
    numbers = [float(w) for w in weights if isinstance(w, int | float) and w >= 0]
    if len(numbers) < len(letters):
        return OrderVerdict(None, label_mass=label_mass, text=str(answer))
    if label_mass is not None and label_mass < MIN_LABEL_MASS:
        return OrderVerdict(None, label_mass=label_mass, text=str(answer))
    return verdict_of_weights(numbers, label_mass=label_mass)


def _to_dicts(prompt: Sequence[Message] | Dialogue) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in prompt]
