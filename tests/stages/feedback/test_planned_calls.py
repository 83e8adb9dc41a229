from upbring.data.read.records import Message
from upbring.feedback.principles import read_principles
from upbring.judge.endpoint_judge import EndpointJudge
from upbring.judge.judgment import JudgeQuestion
from upbring.judge.measure import GoldPair
from upbring.remote.usage import Usage
from upbring.settings.constitution import ConstitutionSettings
from upbring.stages.feedback.planned_calls import (
    PlannedCalls,
    constitution_calls,
    gold_calls,
    judging_calls,
    log_planned_calls,
)
from upbring.stages.open_client import open_client

PROMPT = (Message("user", "a" * 40),)  # 10 tokens
GOLD = [GoldPair(PROMPT, "yes", "no")] * 3


def options(**changes: object) -> ConstitutionSettings:
    values = {"model": "m", "prompts": ("p",), "judge": "http://j/v1", "max_tokens": 8, **changes}
    return ConstitutionSettings.model_validate(values, strict=False)


def test_each_pair_has_both_orders_and_each_round_two_calls() -> None:
    config = options(num_responses=2, rounds=2, pairs_per_prompt=9, principles_per_pair=2)
    found = constitution_calls(config, read_principles(), [PROMPT] * 5, GOLD)
    assert found.writing.calls == 5 * (2 + 2 * 2)
    assert found.writing.output_tokens == 8 * found.writing.calls
    assert found.judging.calls == 5 * 3 * 2 * 2 + 3 * 2  # 3 pairs of 2 responses and a revision
    fewer = constitution_calls(
        config.model_copy(update={"pairs_per_prompt": 1}), read_principles(), [PROMPT] * 5, GOLD
    )
    assert fewer.judging.calls == 5 * 1 * 2 * 2 + 3 * 2


def test_a_model_that_judges_itself_also_writes_responses_to_the_gold_prompts() -> None:
    other = gold_calls(GOLD, has_own=False, max_tokens=8)
    own = gold_calls(GOLD, has_own=True, max_tokens=8)
    assert (other.calls, own.calls) == (6, 6 + 3 + 6)


def test_unknown_responses_count_with_their_longest_length() -> None:
    known = judging_calls([JudgeQuestion(PROMPT, ("", ""))])
    more = judging_calls([JudgeQuestion(PROMPT, ("", ""))], response_tokens=100)
    assert more.input_tokens - known.input_tokens == 2 * 2 * 100
    assert (
        judging_calls([JudgeQuestion(PROMPT, ("", ""))], has_reasoning=True).output_tokens == 1024
    )


def test_a_server_that_writes_and_judges_is_named_once() -> None:
    logged: list[str] = []
    judge = EndpointJudge(open_client("http://j/v1"), has_reasoning=True)
    calls = PlannedCalls(judging=Usage(2000, 100, 10))
    log_planned_calls(options(max_calls=50), calls, judge=judge, log=logged.append)
    counts = "at most 2,000 calls, 100 tokens in and 10 out, and stored replies cost nothing"
    assert logged == [f"http://j/v1: {counts}; max_calls allows 50"]
