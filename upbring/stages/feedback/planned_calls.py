"""The calls of servers that a collection will make, estimated before the first one is paid for.

Upper estimates: each response is as long as it may be, each pair has both orders, and nothing is
stored yet. Tokens of input are counted as 4 characters each.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import comb

from upbring.feedback.principles import Constitution
from upbring.feedback.revise import critique_prompt, revision_prompt
from upbring.judge.endpoint_judge import LETTER_TOKENS, REASONING_TOKENS, EndpointJudge
from upbring.judge.judgment import Dialogue, Judge, JudgeQuestion
from upbring.judge.measure import GoldPair
from upbring.judge.wording import format_dialogue, judge_prompt
from upbring.remote.usage import Prices, Usage, estimate
from upbring.settings.commands.demonstrations import BestOfNSettings, TeacherSettings
from upbring.settings.constitution import ConstitutionSettings
from upbring.settings.judge import ServerSettings
from upbring.stages.feedback.judge_check import MAX_OWN_RESPONSES
from upbring.stages.feedback.open_models import Log, client_of
from upbring.stages.feedback.writers import LocalWriter, RemoteWriter

ORDERS = 2


@dataclass(frozen=True)
class PlannedCalls:
    """The calls for writing, and those for judging."""

    writing: Usage = Usage()  # noqa: RUF009 -- frozen
    judging: Usage = Usage()  # noqa: RUF009 -- frozen


def constitution_calls(
    settings: ConstitutionSettings,
    constitution: Constitution,
    prompts: Sequence[Dialogue],
    gold: Sequence[GoldPair],
) -> PlannedCalls:
    """Return the calls of a collection by principles."""
    principle, limit = constitution.principles[0], settings.max_tokens
    writing = sampling_calls(settings, prompts)
    rounds = [*prompts] * settings.rounds
    critiques = (_text(critique_prompt(each, "", principle)) for each in rounds)
    writing += estimate(critiques, max_tokens=limit, more_input=limit)
    revisions = (_text(revision_prompt(each, "", "", principle)) for each in rounds)
    writing += estimate(revisions, max_tokens=limit, more_input=2 * limit)
    num_pairs = min(
        settings.pairs_per_prompt, comb(settings.num_responses + bool(settings.rounds), 2)
    )
    num_principles = settings.principles_per_pair or max(
        len(constitution.applicable(format_dialogue(each))) for each in prompts
    )
    questions = [JudgeQuestion(each, ("", ""), principle.text) for each in prompts]
    times = num_pairs * num_principles
    return _with_judge(settings, writing, questions, gold, times=times)


def best_of_n_calls(
    settings: BestOfNSettings,
    questions: Sequence[JudgeQuestion],
    gold: Sequence[GoldPair],
) -> PlannedCalls:
    """Return the calls of a best-of-n collection; the responses of the questions are unknown."""
    writing = sampling_calls(settings, [each.prompt for each in questions])
    return _with_judge(settings, writing, questions, gold)


def sampling_calls(
    settings: ConstitutionSettings | BestOfNSettings | TeacherSettings, prompts: Sequence[Dialogue]
) -> Usage:
    """Return the calls that sample the responses."""
    texts = [_text(prompt) for prompt in prompts for _ in range(settings.num_responses)]
    return estimate(texts, max_tokens=settings.max_tokens)


def judging_calls(
    questions: Iterable[JudgeQuestion], *, has_reasoning: bool = False, response_tokens: int = 0
) -> Usage:
    """Return the calls for questions, whose responses have as many more tokens."""
    max_tokens = REASONING_TOKENS if has_reasoning else LETTER_TOKENS
    total = Usage()
    for each in questions:
        text = _text(judge_prompt(each, has_reasoning=has_reasoning))
        more = response_tokens * len(each.responses)
        total += estimate([text] * ORDERS, max_tokens=max_tokens, more_input=more)
    return total


def gold_calls(
    gold: Sequence[GoldPair], *, has_reasoning: bool = False, has_own: bool, max_tokens: int
) -> Usage:
    """Return the calls that measure a judge, with those about its own responses if it has any.

    The own responses, of at most `max_tokens`, are written by the judge: these calls are included.
    """
    total = judging_calls(
        [JudgeQuestion(each.prompt, (each.better, each.worse), each.criterion) for each in gold],
        has_reasoning=has_reasoning,
    )
    if has_own:
        own = gold[:MAX_OWN_RESPONSES]
        total += estimate([_text(each.prompt) for each in own], max_tokens=max_tokens)
        asked = [JudgeQuestion(each.prompt, (each.better, ""), each.criterion) for each in own]
        total += judging_calls(asked, has_reasoning=has_reasoning, response_tokens=max_tokens)
    return total


def _with_judge(
    settings: ConstitutionSettings | BestOfNSettings,
    writing: Usage,
    questions: Sequence[JudgeQuestion],
    gold: Sequence[GoldPair],
    *,
    times: int = 1,
) -> PlannedCalls:
    """Add the questions, the gold pairs, and the judge's own responses if it is the writer."""
    limit, reasons = settings.max_tokens, settings.reasoning
    judging = judging_calls(questions, has_reasoning=reasons, response_tokens=limit) * times
    has_own = settings.judge in {None, settings.model}
    judging += gold_calls(gold, has_reasoning=reasons, has_own=has_own, max_tokens=limit)
    return PlannedCalls(writing, judging)


def log_planned_calls(
    settings: ServerSettings,
    calls: PlannedCalls,
    *,
    writer: LocalWriter | RemoteWriter | None = None,
    judge: Judge | None = None,
    log: Log,
) -> None:
    """Log what each server will be asked at most, before it is asked anything."""
    by_name: dict[str, Usage] = {}
    for model, usage in ((writer, calls.writing), (judge, calls.judging)):
        if (client := client_of(model)) is not None:
            by_name[client.name] = by_name.get(client.name, Usage()) + usage
    prices = Prices(settings.input_price, settings.output_price)
    for name, usage in by_name.items():
        note = ""
        if isinstance(judge, EndpointJudge) and judge.name == name and not judge.has_reasoning:
            note = f"; without log-probabilities, those of the judge × {judge.num_samples}"
        if settings.max_calls is not None and settings.max_calls < usage.calls:
            note += f"; max_calls allows {settings.max_calls:,}"
        log(f"{name}: at most {usage.text(prices)}, and stored replies cost nothing{note}")


def _text(prompt: Dialogue) -> str:
    return "".join(message.content for message in prompt)
