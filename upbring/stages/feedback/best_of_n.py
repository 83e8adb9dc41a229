"""The judge's best of n sampled responses as demonstrations: rejection sampling.

Training on them is one round of RAFT (Dong et al. 2023) or of the rejection sampling of Llama 2. A
prompt whose responses the judge cannot compare is left out and counted.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from upbring import durable
from upbring.durable import JSON
from upbring.errors import InputError
from upbring.evaluate.to_results import to_result
from upbring.feedback.principles import read_principles
from upbring.judge.judgment import (
    DEFAULT_CRITERION,
    Judge,
    JudgeQuestion,
    Judgment,
    count_judgments,
)
from upbring.maths import statistics
from upbring.rules.lengths import num_words
from upbring.runs.results import EvalResult, JudgeQuality, write_results
from upbring.settings.commands.demonstrations import BestOfNSettings
from upbring.stages.collection.collect import select_prompts
from upbring.stages.evaluation.judges import known_quality, writes_text
from upbring.stages.feedback.demonstrations import (
    DemonstrationFiles,
    SampledPrompt,
    demonstration,
    sample_responses,
    sampling_provenance,
    sampling_results,
    write_demonstrations,
)
from upbring.stages.feedback.judge_check import check_judge, gold_pairs, reject_weak_judge
from upbring.stages.feedback.open_models import (
    Log,
    client_of,
    log_usage,
    open_judge,
    open_workplace,
    open_writer,
    own_responses,
)
from upbring.stages.feedback.planned_calls import best_of_n_calls, log_planned_calls
from upbring.stages.feedback.writers import LocalWriter, RemoteWriter
from upbring.tracking import Track, no_tracking

NO_JUDGE = "none"
SUITE = "best_of_n"


@dataclass(frozen=True, slots=True)
class BestResponse:
    """The best response to a prompt and the judgment that chose it; None if it was the only one."""

    sampled: SampledPrompt
    best: str
    judgment: Judgment | None

    @property
    def others(self) -> list[str]:
        """The responses that were not chosen."""
        return [each for each in self.sampled.responses if each != self.best]


def collect_best_of_n(
    settings: BestOfNSettings,
    folder: Path,
    *,
    log: Log,
    track: Track = no_tracking,
    judge: Judge | None = None,
    calls_file: Path | None = None,
) -> DemonstrationFiles:
    """Write the best response to each prompt; `judge` replaces the one that the settings name.

    Paid replies are kept in `calls_file`, by default in the folder.
    """
    if settings.judge == NO_JUDGE:
        raise InputError(
            "judge: none, but someone must choose the best response; name a judge, or use "
            "`upbring teacher` to keep all responses"
        )
    criterion = settings.criterion or DEFAULT_CRITERION
    prompts = [prompt for prompt, _ in select_prompts(settings.prompts, settings.limit)]
    unknown = ("",) * settings.num_responses
    asked = [JudgeQuestion(prompt.messages, unknown, criterion) for prompt in prompts]
    name = settings.judge or settings.model
    is_measured = bool(settings.gold) or judge is not None or writes_text(name)
    gold = gold_pairs(settings.gold, read_principles()) if is_measured else []
    with open_workplace(folder, log=log, track=track, calls_file=calls_file) as workplace:
        writer = open_writer(settings, workplace)
        judge = judge or open_judge(settings, workplace, writer)
        calls = best_of_n_calls(settings, asked, gold)
        log_planned_calls(settings, calls, writer=writer, judge=judge, log=log)
        template = EvalResult(SUITE, settings.model, "", None)
        if gold:
            write = own_responses(settings, judge, writer)
            measured, results = check_judge(
                judge, gold, settings, write=write, template=template, log=log
            )
            durable.unseal(folder)
            write_results(folder, results)  # also of a judge that is rejected
            reject_weak_judge(measured, settings, name=judge.name, log=log)
            quality = measured.quality(judge.name, min_agreement=settings.min_agreement)
        else:
            quality, results = known_quality(name), []
            _reject_unfit(quality, settings)
            log(quality.text)
        sampled, outcomes = sample_responses(settings, prompts, writer, purpose="best of n")
        choices, reasons, judgments = choose_best(sampled, judge, settings)
        rows = [_row(each, settings, judge, writer) for each in choices]
        template = replace(template, judge=quality)
        results += sampling_results(outcomes, [each.best for each in choices], template)
        results += choice_results(choices, reasons, judgments, template)
        log_usage(settings, [client_of(writer), client_of(judge)], log)
        return write_demonstrations(folder, rows, results, reasons=reasons, log=log)


def choose_best(
    sampled: Sequence[SampledPrompt], judge: Judge, settings: BestOfNSettings
) -> tuple[list[BestResponse], Counter[str], list[Judgment]]:
    """Return the best responses, how many prompts have one or none by reason, and the judgments."""
    criterion = settings.criterion or DEFAULT_CRITERION
    judgments = judge.judge(
        [JudgeQuestion(s.prompt, s.responses, criterion) for s in sampled if len(s.responses) > 1]
    )
    remaining = iter(judgments)
    choices, reasons = [], Counter[str]()
    for each in sampled:
        if len(each.responses) == 1:
            reasons["only one response"] += 1
            choices.append(BestResponse(each, each.responses[0], None))
            continue
        judgment = next(remaining)
        reason = reason_without_best(judgment, drops_flipped=settings.on_flip == "drop")
        reasons[reason or "chosen"] += 1
        if reason is None:
            best = int(np.argmax(np.round(judgment.choices or (), 9)))
            choices.append(BestResponse(each, each.responses[best], judgment))
    return choices, reasons, judgments


def reason_without_best(judgment: Judgment, *, drops_flipped: bool) -> str | None:
    """Return why a judgment chooses no response; None if it does."""
    if not judgment.is_understood:
        return "not understood"
    if judgment.is_abstention:
        return "cannot say"
    return "orders differ" if drops_flipped and judgment.is_flipped else None


def choice_results(
    choices: Sequence[BestResponse],
    reasons: Counter[str],
    judgments: Sequence[Judgment],
    template: EvalResult,
) -> Iterator[EvalResult]:
    """Yield the share of prompts by reason, flips, and how much longer the best responses are."""
    for reason, count in sorted(reasons.items()):
        share = statistics.proportion(count, reasons.total())
        yield to_result(share, replace(template, name=f"prompts/{reason.replace(' ', '_')}"))
    counts = count_judgments(judgments)
    if counts.both_orders:
        flips = statistics.proportion(counts.flipped, counts.both_orders)
        yield to_result(flips, replace(template, name="flip_rate", is_higher_better=False))
    more_words = [
        num_words(each.best) - np.mean([num_words(text) for text in each.others])
        for each in choices
        if each.others
    ]
    if more_words:
        named = replace(template, name="words/best_minus_others", unit="words")
        yield to_result(statistics.mean(np.array(more_words, np.float64)), named)


def _row(
    choice: BestResponse,
    settings: BestOfNSettings,
    judge: Judge,
    writer: LocalWriter | RemoteWriter,
) -> dict[str, JSON]:
    judgment = choice.judgment
    index = choice.sampled.responses.index(choice.best)
    choices = judgment.choices if judgment else None
    judged: dict[str, JSON] = {
        "judge": judge.name,
        "judge_identity": judge.identity,
        "criterion": settings.criterion or DEFAULT_CRITERION,
        "num_distinct": len(choice.sampled.responses),
        "probability": None if choices is None else round(choices[index], 6),
        "is_flipped": None if judgment is None else judgment.is_flipped,
    }
    provenance = {"source": "best of n", **sampling_provenance(settings, writer), **judged}
    return demonstration(choice.sampled, choice.best, provenance)


def _reject_unfit(quality: JudgeQuality, settings: BestOfNSettings) -> None:
    """Raise if a reward model was found to be unfit, unless it is allowed."""
    if not quality.is_fit and not settings.allow_weak_judge:
        raise InputError(
            f"judge: {quality.name} is not fit: {quality.detail}; name another with --judge, "
            "measure it on your own pairs with --gold, or --allow-weak-judge"
        )
