from pathlib import Path

import pytest

from tests.judge.scripted_judge import ScriptedJudge, choose, shorter
from tests.stages.feedback.conversing import write_rows
from upbring.data.read.records import Message
from upbring.errors import InputError
from upbring.feedback.principles import read_principles
from upbring.judge.measure import GoldPair
from upbring.runs.results import EvalResult
from upbring.settings.judge import JudgeSettings
from upbring.stages.feedback.judge_check import check_judge, gold_pairs, reject_weak_judge

PAIRS = [GoldPair((Message("user", str(i)),), "short", "much longer") for i in range(40)]
TEMPLATE = EvalResult("constitution", "m", "", None)


def test_without_files_the_examples_are_judged_by_their_own_principles() -> None:
    found = gold_pairs((), read_principles())
    assert len(found) >= 30
    assert len({each.criterion for each in found}) >= 28


def test_of_a_ranking_the_best_and_the_worst_are_gold(tmp_path: Path) -> None:
    rows = [{"prompt": "Q", "responses": ["b", "a", "c"], "ranks": [2, 1, 3]}]
    (found,) = gold_pairs([write_rows(tmp_path / "gold.jsonl", rows)], read_principles())
    assert (found.better, found.worse) == ("a", "c")


def test_the_figures_have_the_judge_beside_them() -> None:
    logged: list[str] = []
    measured, results = check_judge(
        ScriptedJudge(shorter),
        PAIRS,
        JudgeSettings(),
        write=None,
        template=TEMPLATE,
        log=logged.append,
    )
    assert {each.name for each in results} >= {"judge/agreement", "judge/flip_rate"}
    assert {each.judge.verdict for each in results if each.judge} == {"fit"}
    assert "judge/self_preference" not in {each.name for each in results}
    assert logged[0].startswith("scripted: fit: agrees with 100.0 %")
    reject_weak_judge(measured, JudgeSettings(), name="scripted", log=logged.append)


def test_a_judge_of_the_first_place_is_rejected_unless_it_is_allowed() -> None:
    logged: list[str] = []
    judge = ScriptedJudge(lambda _: choose(first=True))
    measured, _ = check_judge(
        judge, PAIRS, JudgeSettings(), write=None, template=TEMPLATE, log=logged.append
    )
    with pytest.raises(
        InputError, match=r"judge: scripted agrees with 50\.0 % .* than chance; its"
    ):
        reject_weak_judge(measured, JudgeSettings(), name="scripted", log=logged.append)
    allowed = JudgeSettings(allow_weak_judge=True)
    reject_weak_judge(measured, allowed, name="scripted", log=logged.append)
    assert "its labels are used nevertheless" in logged[-1]
