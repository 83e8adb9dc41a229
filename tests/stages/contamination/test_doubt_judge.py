from pathlib import Path

import pytest

from tests import small
from upbring.data.read.records import Message
from upbring.evaluate.preference import Scorer
from upbring.runs.results import JudgeQuality, JudgeVerdict
from upbring.runs.trained_rows import row_hash, write_trained_rows
from upbring.stages.contamination.doubt_judge import doubt_judge

PROMPTS = [(Message("user", f"What is {i}?"),) for i in range(40)]


def scorer(quality: JudgeQuality | None) -> Scorer:
    return Scorer("rm", "rm", lambda pairs: [0.0] * len(pairs), quality=quality)


@pytest.mark.parametrize(
    ("num_known", "before", "after"),
    [
        (0, "fit", "fit"),
        (1, "fit", "use with care"),
        (2, "not measured", "use with care"),  # 5 % of 40
        (3, "fit", "not fit"),
        (1, "not fit", "not fit"),
    ],
)
def test_a_reward_model_that_knows_the_prompts_is_less_fit(
    tmp_path: Path, num_known: int, before: JudgeVerdict, after: JudgeVerdict
) -> None:
    model = small.make_model(tmp_path / "rm")
    write_trained_rows(model, [row_hash(f"what is {i}?") for i in range(num_known)])
    judge = scorer(JudgeQuality("rm", before, "right on 80 %"))
    doubted = doubt_judge(judge, str(model), PROMPTS)
    assert isinstance(doubted, Scorer)
    assert doubted.quality is not None
    assert doubted.quality.verdict == after
    if num_known > 1:
        text = f"right on 80 %; {num_known} of 40 evaluated prompts were in its training data"
        assert doubted.quality.detail == text


def test_a_judge_whose_rows_are_not_known_is_not_doubted(tmp_path: Path) -> None:
    model = str(small.make_model(tmp_path / "rm"))
    for judge in (
        None,
        scorer(None),
        scorer(JudgeQuality("rm", "fit")),
    ):
        assert doubt_judge(judge, model, PROMPTS) is judge
