"""Judges that score each response by itself: a reward model, or a rule or function of the user.

The order of the responses cannot matter, so each question is asked once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from upbring.data.read.prompt_rows import make_prompt_row
from upbring.judge.judgment import JudgeQuestion, Judgment, OrderVerdict
from upbring.judge.reward_model import ResponseGroup, ScoreArray
from upbring.judge.row_function import RowFunction
from upbring.judge.wording import format_dialogue


@dataclass(frozen=True)
class RewardJudge:
    """A reward model: P(best) is the softmax of the scores (Bradley–Terry for a pair)."""

    name: str
    identity: str
    score_groups: Callable[[Sequence[ResponseGroup]], Sequence[Sequence[float] | ScoreArray]]
    has_reasoning: bool = False

    def judge(self, questions: Sequence[JudgeQuestion]) -> list[Judgment]:
        """Return the judgment of each question; without all scores it is not understood."""
        groups = [ResponseGroup(each.prompt, each.responses) for each in questions]
        return [Judgment((_softmax_verdict(scores),)) for scores in self.score_groups(groups)]


@dataclass(frozen=True)
class RuleJudge:
    """A rule or a function of the user: the response with the highest number is best.

    Equal numbers mean that it cannot say, so that it never prefers by chance.
    """

    name: str
    identity: str
    score: Callable[[JudgeQuestion, str], float]
    has_reasoning: bool = False

    def judge(self, questions: Sequence[JudgeQuestion]) -> list[Judgment]:
        """Return the judgment of each question."""
        return [
            Judgment((_highest_verdict([self.score(each, text) for text in each.responses]),))
            for each in questions
        ]


def make_rule_judge(function: RowFunction, *, log: Callable[[str], None]) -> RuleJudge:
    """Return a rule by name, or a function of the user, as a judge.

    The columns of its row are the prompt and the criterion.
    """

    def score(question: JudgeQuestion, response: str) -> float:
        prompt = format_dialogue(question.prompt)
        columns = {"prompt": prompt, "criterion": question.criterion}
        row = make_prompt_row(f"prompt {prompt[:40]!r}", columns, question.prompt)
        return function(row, response, log=log)

    return RuleJudge(function.name, f"rule {function.name} {function.sha256}", score)


def _softmax_verdict(scores: Sequence[float] | ScoreArray) -> OrderVerdict:
    values = np.asarray(scores, np.float64)
    if not np.isfinite(values).all():
        return OrderVerdict(None)
    weights = np.exp(values - values.max())
    return OrderVerdict(tuple((weights / weights.sum()).tolist()))


def _highest_verdict(scores: Sequence[float]) -> OrderVerdict:
    best = [float(score == max(scores)) for score in scores]
    cannot_say = float(sum(best) == len(scores))
    return OrderVerdict(tuple(each / sum(best) for each in best), cannot_say)
