from pathlib import Path

from tests.judge.scripted_judge import ScriptedJudge, about, shorter
from upbring.judge.judgment import JudgeQuestion, OrderVerdict
from upbring.stages.feedback.stored_judge import StoredJudge
from upbring.stages.open_client import open_calls

QUESTIONS = [about("Q", "a", "long"), about("Q", "long", "a"), about("R", "a", "b")]


def test_a_question_is_judged_once_and_read_back_as_it_was(tmp_path: Path) -> None:
    first, second = ScriptedJudge(shorter), ScriptedJudge(shorter)
    path = tmp_path / "calls.jsonl"
    found = StoredJudge(first, open_calls(path)).judge(QUESTIONS)
    again = StoredJudge(second, open_calls(path))
    assert again.judge(QUESTIONS) == found
    assert (first.num_asked, second.num_asked) == (3, 0)
    assert (again.name, again.identity, again.has_reasoning) == ("scripted", "scripted", False)


def test_another_judge_or_criterion_is_asked_again(tmp_path: Path) -> None:
    rows = open_calls(tmp_path / "calls.jsonl")
    StoredJudge(ScriptedJudge(shorter), rows).judge(QUESTIONS[:1])
    other = ScriptedJudge(shorter, identity="other")
    StoredJudge(other, rows).judge(QUESTIONS[:1])
    assert other.num_asked == 1
    kinder = JudgeQuestion(QUESTIONS[0].prompt, QUESTIONS[0].responses, "Which is kinder?")
    same = ScriptedJudge(shorter)
    StoredJudge(same, rows).judge([kinder])
    assert same.num_asked == 1


def test_a_reply_that_was_not_understood_stays_so(tmp_path: Path) -> None:
    judge = ScriptedJudge(lambda _: OrderVerdict(None, label_mass=0.01, text="prose"))
    rows = open_calls(tmp_path / "calls.jsonl")
    StoredJudge(judge, rows).judge(QUESTIONS[:1])
    (found,) = StoredJudge(judge, rows).judge(QUESTIONS[:1])
    assert not found.is_understood
    assert found.verdicts[0].text == "prose"
