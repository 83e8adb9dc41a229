"""A judge whose verdicts a test decides: it implements the interface, and reads text only."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from upbring.data.read.records import Message
from upbring.judge.judgment import JudgeQuestion, Judgment, OrderVerdict, judge_both_orders


@dataclass
class ScriptedJudge:
    ask: Callable[[JudgeQuestion], OrderVerdict]
    name: str = "scripted"
    identity: str = "scripted"
    has_reasoning: bool = False
    num_asked: int = 0

    def judge(self, questions: Sequence[JudgeQuestion]) -> list[Judgment]:
        self.num_asked += len(questions)
        return judge_both_orders(questions, lambda both: [self.ask(each) for each in both])


def about(text: str, *responses: str) -> JudgeQuestion:
    return JudgeQuestion((Message("user", text),), responses)


def shorter(question: JudgeQuestion) -> OrderVerdict:
    """Prefer the shorter response."""
    first, second = map(len, question.responses)
    return OrderVerdict((0.5, 0.5), 1.0) if first == second else choose(first=first < second)


def choose(*, first: bool) -> OrderVerdict:
    return OrderVerdict((0.9, 0.1) if first else (0.1, 0.9), label_mass=0.8)
