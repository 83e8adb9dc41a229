"""The preference suite: pairwise win rates of models, raw and length-controlled.

The judge is one of three. A scorer (reward model, gold reward) gives each response a score. A judge
that compares (a language model, an endpoint) is asked about each pair in both orders because of
position bias; how often the orders differ, abstentions and replies that are not understood are
counted. Human votes are counted, and the annotator agreement is reported. Ties count as half a win.
Model strengths are Bradley–Terry coefficients.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

import numpy as np

from upbring.durable import JSON
from upbring.evaluate.answer_cache import AnswerCache, CacheItem, add_verdicts, responses
from upbring.evaluate.human_votes import AttributedAnswer, Votes
from upbring.evaluate.model_protocol import Dialogue, EvaluatedModel, format_prompt
from upbring.evaluate.paired import mean_results
from upbring.evaluate.to_results import format_result, to_result
from upbring.judge.judgment import (
    Judge,
    JudgeCounts,
    JudgeQuestion,
    Judgment,
    OrderVerdict,
    count_judgments,
)
from upbring.judge.measure import first_wins
from upbring.maths import agreement, statistics, win_rates
from upbring.maths.statistics import FloatArray
from upbring.plurals import format_count
from upbring.rules.lengths import num_words
from upbring.runs.results import EvalResult, JudgeQuality

SUITE = "preference"


@dataclass(frozen=True, slots=True)
class Scorer:
    """A judge that scores each response separately."""

    name: str
    identity: str
    scores: Callable[[Sequence[tuple[Dialogue, str]]], Sequence[float]]
    is_synthetic: bool = False
    quality: JudgeQuality | None = None  # None: not known
    # The components of the score, if the judge knows them.
    causes: Callable[[Dialogue, str], Mapping[str, float]] | None = None


@dataclass(frozen=True, slots=True)
class Comparer:
    """A judge that compares the two responses to a prompt."""

    judge: Judge
    is_synthetic: bool = False
    quality: JudgeQuality | None = None  # None: not known

    @property
    def name(self) -> str:
        """The name of the judge."""
        return self.judge.name

    @property
    def identity(self) -> str:
        """That of the judge."""
        return self.judge.identity


PreferenceJudge = Scorer | Comparer | Votes


@dataclass(frozen=True, slots=True, eq=False)
class ModelAnswers:
    """The responses of every model to every prompt."""

    prompts: Sequence[Dialogue]
    texts: Mapping[str, list[str]]

    def word_counts(self, model: str) -> FloatArray:
        """Return the word count of each response of a model `[P]`."""
        return np.array([num_words(text) for text in self.texts[model]], np.float64)


def measure_preference(
    models: Sequence[EvaluatedModel],
    prompts: Sequence[Dialogue],
    judge: PreferenceJudge | None,
    *,
    cache: AnswerCache,
    seed: int = 0,
    is_sampled: bool = False,
) -> list[EvalResult]:
    """Return the win rates of all pairs of models; without a judge, only response lengths."""
    answers = collect_answers(models, prompts, cache=cache, seed=seed if is_sampled else None)
    template = EvalResult(SUITE, "", "", None)
    lengths = {model: answers.word_counts(model) for model in answers.texts}
    results = list(mean_results(replace(template, name="words", unit="words"), lengths))
    if judge is None:
        return results
    known_quality = None if isinstance(judge, Votes) else judge.quality
    quality = known_quality or JudgeQuality(judge.name)
    template = replace(
        template, is_higher_better=True, is_synthetic=judge.is_synthetic, judge=quality
    )
    wins_by_pair: dict[tuple[str, str], FloatArray] = {}
    scores = _score_answers(models, answers, judge, cache) if isinstance(judge, Scorer) else {}
    if scores:
        results += mean_results(replace(template, name="reward", unit="score"), scores)
        results += _cause_results(answers, judge, replace(template, is_higher_better=None))
    for earlier, later in itertools.combinations(answers.texts, 2):
        pair_template = replace(template, model=later, against=earlier)
        if isinstance(judge, Scorer):
            difference = scores[later] - scores[earlier]
            wins = np.asarray((difference > 0) + 0.5 * (difference == 0), np.float64)
        elif isinstance(judge, Votes):
            wins, votes_by_prompt = _count_votes(later, earlier, answers, judge)
            agreements = list(_agreement_results(votes_by_prompt, pair_template, seed=seed))
            results += agreements
            num_unjudged = int(np.isnan(wins).sum())
            unjudged = f"{format_count(num_unjudged, 'prompt')} without a vote"
            pair_template = replace(
                pair_template,
                note=unjudged if num_unjudged else "",
                judge=_describe_agreement(quality, agreements),
            )
        else:
            judgments = _compare(later, earlier, answers, judge, cache)
            wins = np.array([first_wins(each) for each in judgments], np.float64)
            counts = count_judgments(judgments)
            results += _judge_results(counts, pair_template)
            pair_template = replace(
                pair_template, judge=_describe_judge(quality, counts), note=_unjudged_note(counts)
            )
        wins_by_pair[later, earlier] = wins
        results += _win_rate_results(wins, lengths[later], lengths[earlier], pair_template)
    if wins_by_pair:
        strength_template = replace(template, name="strength", unit="log-odds")
        results += _strength_results(list(answers.texts), wins_by_pair, strength_template)
    return results


def collect_answers(
    models: Sequence[EvaluatedModel],
    prompts: Sequence[Dialogue],
    *,
    cache: AnswerCache,
    seed: int | None = None,
) -> ModelAnswers:
    """Return the responses, from the cache if present; sampled if `seed` is given, else greedy."""
    return ModelAnswers(prompts, {s.name: _model_answers(s, prompts, cache, seed) for s in models})


def _model_answers(
    model: EvaluatedModel, prompts: Sequence[Dialogue], cache: AnswerCache, seed: int | None
) -> list[str]:
    def generate(indices: list[int]) -> list[dict[str, JSON]]:
        chosen_prompts = [prompts[i] for i in indices]
        texts = (
            model.generate(chosen_prompts)
            if seed is None
            else model.sample(chosen_prompts, seed=seed)
        )
        return [{"response": text} for text in texts]

    sampling_key = () if seed is None else ("drawn", seed)
    items = [CacheItem(format_prompt(prompt), (prompt, *sampling_key)) for prompt in prompts]
    return responses(cache.get_or_compute(SUITE, model, items, compute=generate))


def _score_answers(
    models: Sequence[EvaluatedModel], answers: ModelAnswers, scorer: Scorer, cache: AnswerCache
) -> dict[str, FloatArray]:
    """Return the score of each response by model `[P]`; each response is scored once."""
    scores_by_model: dict[str, FloatArray] = {}
    for model in models:
        pairs = list(zip(answers.prompts, answers.texts[model.name], strict=True))

        def compute(
            indices: list[int], pairs: list[tuple[Dialogue, str]] = pairs
        ) -> list[dict[str, JSON]]:
            scores = scorer.scores([pairs[i] for i in indices])
            return [
                {"response": pairs[i][1], "score": float(score)}
                for i, score in zip(indices, scores, strict=True)
            ]

        items = [CacheItem(format_prompt(prompt), (prompt, text)) for prompt, text in pairs]
        rows = cache.get_or_compute(SUITE, scorer, items, compute=compute, kind="score")
        values = [float(cast("float", row["score"])) for row in rows]
        scores_by_model[model.name] = np.array(values, np.float64)
        add_verdicts(rows, [{"score": value} for value in values])
    return scores_by_model


def _cause_results(
    answers: ModelAnswers, judge: PreferenceJudge | None, template: EvalResult
) -> Iterator[EvalResult]:
    """Yield the mean of each score component by model, if the judge knows the components."""
    if not isinstance(judge, Scorer) or judge.causes is None:
        return
    causes_by_model = {
        model: [
            judge.causes(prompt, text) for prompt, text in zip(answers.prompts, texts, strict=True)
        ]
        for model, texts in answers.texts.items()
    }
    for cause in next(iter(causes_by_model.values()))[0] if answers.prompts else ():
        values = {
            m: np.array([each[cause] for each in rows]) for m, rows in causes_by_model.items()
        }
        yield from mean_results(replace(template, name=f"reward/{cause}"), values)


def _compare(
    later: str, earlier: str, answers: ModelAnswers, comparer: Comparer, cache: AnswerCache
) -> list[Judgment]:
    """Return by prompt the judgment of `later` (first) against `earlier`."""
    questions = [
        JudgeQuestion(prompt, (one, other))
        for prompt, one, other in zip(
            answers.prompts, answers.texts[later], answers.texts[earlier], strict=True
        )
    ]

    def compute(indices: list[int]) -> list[dict[str, JSON]]:
        judgments = comparer.judge.judge([questions[i] for i in indices])
        return [{"orders": [asdict(verdict) for verdict in each.verdicts]} for each in judgments]

    items = [
        CacheItem(
            f"{format_prompt(q.prompt)}\n\n[first]\n{q.responses[0]}\n\n[second]\n{q.responses[1]}",
            (q.prompt, *q.responses, q.criterion),
        )
        for q in questions
    ]
    rows = cache.get_or_compute(SUITE, comparer, items, compute=compute, kind="judgment")
    judgments = [_to_judgment(row["orders"]) for row in rows]
    values = [None if np.isnan(v := first_wins(each)) else v for each in judgments]
    add_verdicts(rows, [{"prefers_first": value} for value in values])
    return judgments


def _to_judgment(orders: object) -> Judgment:
    verdicts = []
    for each in cast("list[dict[str, Any]]", orders):
        choices = each["choices"]
        known = None if choices is None else tuple(choices)
        verdicts.append(OrderVerdict(**{**each, "choices": known}))
    return Judgment(tuple(verdicts))


def _judge_results(counts: JudgeCounts, template: EvalResult) -> Iterator[EvalResult]:
    """Yield how often the orders agree, and the shares without a judgment."""
    agreed = statistics.proportion(counts.both_orders - counts.flipped, counts.both_orders)
    if counts.both_orders:
        yield to_result(agreed, replace(template, name="orders_agree"))
    neutral = replace(template, is_higher_better=False)
    for name, count in (
        ("cannot_say", counts.abstained),
        ("not_understood", counts.not_understood),
    ):
        if count:
            share = statistics.proportion(count, counts.asked)
            yield to_result(share, replace(neutral, name=name))


def _describe_judge(quality: JudgeQuality, counts: JudgeCounts) -> JudgeQuality:
    """Return the quality with the counts on these pairs."""
    detail = f"{quality.detail}; {counts.text}" if quality.detail else counts.text
    return replace(quality, detail=detail)


def _unjudged_note(counts: JudgeCounts) -> str:
    if not counts.not_understood:
        return ""
    return f"{counts.not_understood} pairs without a judgment: the reply was not understood"


def _win_rate_results(
    wins: FloatArray,
    lengths: FloatArray,
    other_lengths: FloatArray,
    template: EvalResult,
) -> Iterator[EvalResult]:
    """Yield the win rate, raw and length-controlled, over the judged prompts (not NaN)."""
    is_judged = ~np.isnan(wins)
    wins, lengths, other_lengths = wins[is_judged], lengths[is_judged], other_lengths[is_judged]
    win_rate = length_controlled = statistics.UNKNOWN
    if len(wins):
        win_rate = statistics.share(wins)
        length_controlled = win_rates.length_controlled_win_rate(wins, lengths, other_lengths)
    yield to_result(win_rate, replace(template, name="win_rate"))
    yield to_result(length_controlled, replace(template, name="win_rate_length_controlled"))


def _count_votes(
    later: str, earlier: str, answers: ModelAnswers, votes: Votes
) -> tuple[FloatArray, list[list[float]]]:
    """Return by prompt the share of votes for `later` (NaN if no votes), and the votes."""
    wins, votes_by_prompt = [], []
    for prompt, later_text, earlier_text in zip(
        answers.prompts, answers.texts[later], answers.texts[earlier], strict=True
    ):
        prompt_votes = [
            *votes.preferences(
                prompt, AttributedAnswer(later, later_text), AttributedAnswer(earlier, earlier_text)
            ).values()
        ]
        is_same = later_text.strip() == earlier_text.strip()  # a tie without any vote
        wins.append(0.5 if is_same else float(np.mean(prompt_votes)) if prompt_votes else np.nan)
        votes_by_prompt.append([] if is_same else prompt_votes)
    return np.array(wins, np.float64), votes_by_prompt


def _agreement_results(
    votes_by_prompt: Sequence[Sequence[float]], template: EvalResult, *, seed: int
) -> Iterator[EvalResult]:
    """Yield how often two annotators agree on a pair of responses, and Krippendorff's α."""
    shared_units = [unit for unit in votes_by_prompt if len(unit) > 1]
    if not shared_units:
        return
    pairs = [list(itertools.combinations(unit, 2)) for unit in shared_units]
    num_equal = np.array([sum(a == b for a, b in each) for each in pairs], np.float64)
    num_pairs = np.array([len(each) for each in pairs], np.float64)
    agreement_rate = statistics.share_of_counts(num_equal, num_pairs)
    yield to_result(agreement_rate, replace(template, name="annotators_agree"))

    def alpha(indices: np.ndarray) -> float:
        return agreement.krippendorff_alpha([shared_units[i] for i in indices], level="ordinal")

    estimate = statistics.bootstrap(alpha, len(shared_units), seed=seed)
    yield to_result(estimate, replace(template, name="annotators_alpha", unit="alpha"))


def _describe_agreement(quality: JudgeQuality, agreements: Sequence[EvalResult]) -> JudgeQuality:
    if not agreements:
        return replace(quality, detail="one vote for each pair, so agreement is not known")
    agreement_text = format_result(agreements[0])
    return replace(quality, detail=f"two annotators agree on {agreement_text} of pairs")


def _strength_results(
    models: list[str], wins: Mapping[tuple[str, str], FloatArray], template: EvalResult
) -> list[EvalResult]:
    """Return the Bradley–Terry strength of each model; their mean is 0."""
    index = {model: i for i, model in enumerate(models)}
    pairs = [(index[first], index[second]) for first, second in wins]
    estimates = win_rates.estimate_strengths(pairs, np.stack(list(wins.values())), len(models))
    return [
        to_result(estimate, replace(template, model=model))
        for model, estimate in zip(models, estimates, strict=True)
    ]
