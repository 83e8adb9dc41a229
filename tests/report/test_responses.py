from pathlib import Path

from upbring.report.responses import fixed_prompt_responses, judge_scores, largest_differences
from upbring.report.run_data import Answer, Evidence, ReportedStage
from upbring.runs.results import EvalResult


def answer(
    model: str, prompt: str, response: str, suite: str = "s", **verdicts: float | str
) -> Answer:
    return Answer(suite, model, prompt, response, verdicts)


def evidence(*answers: Answer, results: tuple[EvalResult, ...] = ()) -> Evidence:
    return Evidence("t", answers=answers, results=results, models=("base", "sft"))


def test_a_judge_s_rows_are_joined_to_the_responses() -> None:
    found = evidence(
        answer("base", "p", "a"),
        answer("sft", "p", "b"),
        answer("gold", "p", "a", score=-1.0),
        answer("gold", "p", "b", score=2.5),
    )
    assert judge_scores(found) == {"base": [-1.0], "sft": [2.5]}
    (side,) = largest_differences(found)
    assert (side.before.response, side.after.response, side.gain) == ("a", "b", 3.5)


def test_without_a_judge_graders_decide_and_bad_verdicts_are_negative() -> None:
    leaks = EvalResult("s", "sft", "leak", 0.5, is_higher_better=False)
    found = evidence(
        answer("base", "p", "a", right=1.0, leak=1.0, nll=99.0, why="words"),
        answer("sft", "p", "b", right=1.0, leak=0.0),
        results=(leaks,),
    )
    (side,) = largest_differences(found)
    assert (side.before.score, side.after.score) == (0.0, 0.5)  # (1 − 1) / 2 and (1 − 0) / 2


def test_gains_precede_losses_and_suites_alternate() -> None:
    answers = []
    for number in range(30):
        for suite in ("big", "small"):
            scale = 100.0 if suite == "big" else 1.0
            gain = scale * (number - 9.5)
            answers += [
                answer("base", f"p{number}", "a", suite, score=0.0),
                answer("sft", f"p{number}", "b", suite, score=gain),
            ]
    found = largest_differences(evidence(*answers))
    gains, losses = found[:10], found[10:]
    assert len(losses) == 10
    assert all(side.gain > 0 for side in gains)
    assert all(side.gain < 0 for side in losses)
    assert {side.suite for side in gains} == {side.suite for side in losses} == {"big", "small"}
    assert gains[0].gain == 100 * 19.5
    assert losses[0].gain == -100 * 9.5


def test_few_losses_leave_space_for_gains() -> None:
    answers = [answer("base", f"p{n}", "a", score=0.0) for n in range(40)]
    answers += [answer("sft", f"p{n}", "b", score=1.0 if n else -1.0) for n in range(40)]
    found = largest_differences(evidence(*answers))
    assert [side.gain > 0 for side in found] == [True] * 19 + [False]


def test_one_model_or_empty_responses_give_no_comparison() -> None:
    alone = Evidence("t", answers=(answer("sft", "p", "a", score=1.0),), models=("sft",))
    assert largest_differences(alone) == []
    assert (
        largest_differences(
            evidence(answer("base", "p", "", nll=1.0), answer("sft", "p", "", nll=2.0))
        )
        == []
    )


def test_fixed_prompts_have_their_first_and_last_response() -> None:
    rows = [{"step": s, "prompt": "p", "response": f"r{s}"} for s in (0, 5, 9)]
    odd = [{"step": 0, "prompt": "once", "response": "x"}, {"prompt": 3}]
    stage = ReportedStage("sft", "sft", Path("x"), "finished", samples=(*rows, *odd))
    (pair,) = fixed_prompt_responses(stage)
    assert (pair.first_step, pair.first_response, pair.last_step, pair.last_response) == (
        0,
        "r0",
        9,
        "r9",
    )
