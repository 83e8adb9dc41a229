"""Which model's answers are preferred? Win rates of each against each, raw and at equal length.

The judge is handed in: a scorer (reward model, gold reward) gives each answer a number, a comparer
(an endpoint) says how sure it is that the first of two is better. A comparer is asked in both
orders, since most prefer a place; how often the two agree is reported. People's votes are counted
where there are any, and how far people agree is reported. Ties count by half. The table of
strengths is Bradley–Terry's.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from upbring.durable import JSON
from upbring.evaluate.answer_cache import Item, Journal, judge, responses
from upbring.evaluate.human_votes import Told, Votes
from upbring.evaluate.model_protocol import Dialogue, Subject, spoken
from upbring.evaluate.paired import means
from upbring.evaluate.to_results import measured
from upbring.maths import agreement, statistics, win_rates
from upbring.maths.statistics import Numbers
from upbring.rules.lengths import num_words
from upbring.runs.results import Measured

SUITE = "preference"
NUM_SAMPLES = 100  # of the bootstrap of strengths, each of which is a fit


@dataclass(frozen=True, slots=True)
class Duel:
    """Two answers to one prompt."""

    prompt: Dialogue
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class Scorer:
    """A judge that gives every answer a number of its own."""

    name: str
    identity: str
    scores: Callable[[Sequence[tuple[Dialogue, str]]], Sequence[float]]
    is_synthetic: bool = False
    causes: Callable[[Dialogue, str], Mapping[str, float]] | None = None  # why, where it knows


@dataclass(frozen=True, slots=True)
class Comparer:
    """A judge that says how sure it is that the first of two answers is better, 0 … 1."""

    name: str
    identity: str
    prefers: Callable[[Sequence[Duel]], Sequence[float]]
    is_synthetic: bool = False


Judge = Scorer | Comparer | Votes


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """What every subject said to every prompt, and how many words."""

    prompts: Sequence[Dialogue]
    texts: Mapping[str, list[str]]

    def words(self, model: str) -> Numbers:
        """Return how long each answer of a model is."""
        return np.array([num_words(text) for text in self.texts[model]], np.float64)


def preference(
    subjects: Sequence[Subject],
    prompts: Sequence[Dialogue],
    judge: Judge | None,
    *,
    journal: Journal,
    seed: int = 0,
    drawn: bool = False,
) -> list[Measured]:
    """Return who wins against whom; without a judge, answer alone."""
    said = answered(subjects, prompts, journal=journal, seed=seed if drawn else None)
    kind = Measured(SUITE, "", "", None)
    lengths = {model: said.words(model) for model in said.texts}
    found = list(means(replace(kind, name="words", unit="words"), lengths, seed=seed))
    if judge is None:
        return found
    kind = replace(kind, is_higher_better=True, is_synthetic=judge.is_synthetic)
    note = f"judged by {judge.name}"
    wins: dict[tuple[str, str], Numbers] = {}
    scores = _scores(subjects, said, judge, journal) if isinstance(judge, Scorer) else {}
    if scores:
        found += means(replace(kind, name="reward", unit="score", note=note), scores, seed=seed)
        found += _by_cause(said, judge, replace(kind, note=note, is_higher_better=None), seed=seed)
    for earlier, later in itertools.combinations(said.texts, 2):
        own = replace(kind, model=later, against=earlier, note=note)
        if isinstance(judge, Scorer):
            gap = scores[later] - scores[earlier]
            won = np.asarray((gap > 0) + 0.5 * (gap == 0), np.float64)
        elif isinstance(judge, Votes):
            won, units = _voted(later, earlier, said, judge)
            found += _agreements(units, own, seed=seed)
            unjudged = int(np.isnan(won).sum())
            own = replace(own, note=f"{note}; {unjudged} prompts without one" if unjudged else note)
        else:
            won, agreed = _compared(later, earlier, said, judge, journal)
            steady = statistics.share(float(agreed.sum()), len(agreed))
            found.append(measured(steady, replace(own, name="orders_agree")))
        wins[later, earlier] = won
        found += _rates(won, lengths[later], lengths[earlier], own, seed=seed)
    if wins:
        named = replace(kind, name="strength", unit="log-odds", note=note)
        found += _table(list(said.texts), wins, named, seed=seed)
    return found


def answered(
    subjects: Sequence[Subject],
    prompts: Sequence[Dialogue],
    *,
    journal: Journal,
    seed: int | None = None,
) -> Said:
    """Return what the subjects say, from the journal where it stands there; drawn with a seed."""
    return Said(prompts, {s.name: _answers(s, prompts, journal, seed) for s in subjects})


def _answers(
    subject: Subject, prompts: Sequence[Dialogue], journal: Journal, seed: int | None
) -> list[str]:
    def make(chosen: list[int]) -> list[dict[str, JSON]]:
        asked = [prompts[i] for i in chosen]
        texts = subject.answers(asked) if seed is None else subject.drawn(asked, seed=seed)
        return [{"response": text} for text in texts]

    how = () if seed is None else ("drawn", seed)
    items = [Item(spoken(prompt), (prompt, *how)) for prompt in prompts]
    return responses(journal.kept(SUITE, subject, items, make=make))


def _scores(
    subjects: Sequence[Subject], said: Said, scorer: Scorer, journal: Journal
) -> dict[str, Numbers]:
    """Return every answer's score by subject; each answer is scored once."""
    found: dict[str, Numbers] = {}
    for subject in subjects:
        pairs = list(zip(said.prompts, said.texts[subject.name], strict=True))

        def make(
            chosen: list[int], pairs: list[tuple[Dialogue, str]] = pairs
        ) -> list[dict[str, JSON]]:
            scores = scorer.scores([pairs[i] for i in chosen])
            return [
                {"response": pairs[i][1], "score": float(score)}
                for i, score in zip(chosen, scores, strict=True)
            ]

        items = [Item(spoken(prompt), (prompt, text)) for prompt, text in pairs]
        rows = journal.kept(SUITE, scorer, items, make=make, part="score")
        values = [float(cast("float", row["score"])) for row in rows]
        found[subject.name] = np.array(values, np.float64)
        judge(rows, [{"score": value} for value in values])
    return found


def _by_cause(said: Said, judge: Judge | None, kind: Measured, *, seed: int) -> Iterator[Measured]:
    """Yield what each cause says of every model's answers, where the judge knows causes."""
    if not isinstance(judge, Scorer) or judge.causes is None:
        return
    told = {
        model: [
            judge.causes(prompt, text) for prompt, text in zip(said.prompts, texts, strict=True)
        ]
        for model, texts in said.texts.items()
    }
    for cause in next(iter(told.values()))[0] if said.prompts else ():
        values = {m: np.array([each[cause] for each in rows]) for m, rows in told.items()}
        yield from means(replace(kind, name=f"reward/{cause}"), values, seed=seed)


def _compared(
    later: str, earlier: str, said: Said, comparer: Comparer, journal: Journal
) -> tuple[Numbers, Numbers]:
    """Return how often `later` is preferred, by prompt, and whether both orders say the same."""
    pairs = list(zip(said.prompts, said.texts[later], said.texts[earlier], strict=True))
    ordered = [Duel(prompt, one, other) for prompt, one, other in pairs]
    turned = [Duel(prompt, other, one) for prompt, one, other in pairs]
    forth, back = (_prefers(comparer, duels, journal) for duels in (ordered, turned))
    back = 1 - back
    sides = [np.sign(np.round(p, 9) - 0.5) for p in (forth, back)]
    return (forth + back) / 2, np.asarray(sides[0] == sides[1], np.float64)


def _prefers(comparer: Comparer, duels: Sequence[Duel], journal: Journal) -> Numbers:
    def make(chosen: list[int]) -> list[dict[str, JSON]]:
        found = comparer.prefers([duels[i] for i in chosen])
        return [{"prefers_first": float(p)} for p in found]

    items = [
        Item(
            f"{spoken(d.prompt)}\n\n[first]\n{d.first}\n\n[second]\n{d.second}",
            (d.prompt, d.first, d.second),
        )
        for d in duels
    ]
    rows = journal.kept(SUITE, comparer, items, make=make, part="duel")
    values = [float(cast("float", row["prefers_first"])) for row in rows]
    judge(rows, [{"prefers_first": value} for value in values])
    return np.array(values, np.float64)


def _rates(
    won: Numbers, mine: Numbers, theirs: Numbers, kind: Measured, *, seed: int
) -> Iterator[Measured]:
    """Yield the win rate, raw and at equal length, over the prompts that were judged (not NaN)."""
    chosen = ~np.isnan(won)
    won, mine, theirs = won[chosen], mine[chosen], theirs[chosen]
    rate = level = statistics.UNKNOWN
    if len(won):
        rate = statistics.share(float(won.sum()), len(won))
        level = win_rates.length_controlled(won, mine, theirs, seed=seed)
    yield measured(rate, replace(kind, name="win_rate"))
    yield measured(level, replace(kind, name="win_rate_length_controlled"))


def _voted(later: str, earlier: str, said: Said, votes: Votes) -> tuple[Numbers, list[list[float]]]:
    """Return the share of people by prompt who prefer `later`, NaN for none, and every vote."""
    won, units = [], []
    for prompt, one, other in zip(
        said.prompts, said.texts[later], said.texts[earlier], strict=True
    ):
        own = [*votes.on(prompt, Told(later, one), Told(earlier, other)).values()]
        is_same = one.strip() == other.strip()  # nobody needs to be asked
        won.append(0.5 if is_same else float(np.mean(own)) if own else np.nan)
        units.append([] if is_same else own)
    return np.array(won, np.float64), units


def _agreements(
    units: Sequence[Sequence[float]], kind: Measured, *, seed: int
) -> Iterator[Measured]:
    """Yield how often two annotators say the same of a pair of answers, and Krippendorff's α."""
    shared = [unit for unit in units if len(unit) > 1]
    if not shared:
        return
    pairs = [list(itertools.combinations(unit, 2)) for unit in shared]
    same = np.array([sum(a == b for a, b in each) for each in pairs], np.float64)
    count = np.array([len(each) for each in pairs], np.float64)
    alike = statistics.ratio(same, count, seed=seed)
    yield measured(alike, replace(kind, name="annotators_agree"))

    def alpha(chosen: np.ndarray) -> float:
        return agreement.alpha([shared[i] for i in chosen], level="ordinal")

    made = statistics.bootstrap(alpha, len(shared), seed=seed, num_samples=NUM_SAMPLES)
    yield measured(made, replace(kind, name="annotators_alpha", unit="alpha"))


def _table(
    models: list[str], wins: Mapping[tuple[str, str], Numbers], kind: Measured, *, seed: int
) -> list[Measured]:
    """Return every model's Bradley–Terry strength; the mean of all is 0."""
    place = {model: i for i, model in enumerate(models)}
    count = len(next(iter(wins.values())))

    def strengths(chosen: np.ndarray) -> Numbers:
        table = np.zeros((len(models), len(models)))
        for (one, other), won in wins.items():
            table[place[one], place[other]] += np.nansum(won[chosen])
            table[place[other], place[one]] += np.nansum(1 - won[chosen])
        return win_rates.strengths(table)

    found = []
    for model in models:
        made = statistics.bootstrap(
            lambda chosen, i=place[model]: float(strengths(chosen)[i]),  # type: ignore[misc]  # i is bound here
            count,
            seed=seed,
            num_samples=NUM_SAMPLES,
        )
        found.append(measured(made, replace(kind, model=model)))
    return found
