"""Judges pairs of responses by principles, and turns the judgments into rows with soft labels."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from upbring.durable import JSON
from upbring.feedback.principles import Constitution, Principle
from upbring.feedback.soft_labels import PrincipleJudgment, SoftLabel, combine_judgments
from upbring.judge.judgment import Judge, JudgeCounts, JudgeQuestion, count_judgments
from upbring.judge.wording import format_dialogue
from upbring.rules.lengths import num_words
from upbring.settings.constitution import ConstitutionSettings
from upbring.stages.feedback.candidates import Candidates


@dataclass(frozen=True)
class LabeledPair:
    """A pair with its label; `responses[0]` is the one that the probability is about."""

    candidates: Candidates
    responses: tuple[str, str]
    judgments: tuple[PrincipleJudgment, ...]
    label: SoftLabel

    @property
    def chosen(self) -> str:
        """The response that is probably better."""
        return self.responses[0 if self.label.is_first_better else 1]

    @property
    def rejected(self) -> str:
        """The other one."""
        return self.responses[1 if self.label.is_first_better else 0]

    @property
    def length_ratio(self) -> float:
        """Words of the chosen response per word of the rejected one."""
        return num_words(self.chosen) / max(1, num_words(self.rejected))


@dataclass(frozen=True)
class LabeledPairs:
    """The pairs with a label, how many have none by reason, and how the judge answered."""

    pairs: tuple[LabeledPair, ...]
    outcomes: Counter[str]
    counts: JudgeCounts


def label_pairs(
    candidates: Sequence[Candidates],
    constitution: Constitution,
    settings: ConstitutionSettings,
    judge: Judge,
) -> LabeledPairs:
    """Return the labeled pairs of all prompts."""
    asked: list[tuple[Candidates, tuple[str, str], list[Principle]]] = []
    for each in candidates:
        prompt = format_dialogue(each.prompt)
        for number, pair in enumerate(each.pairs(settings)):
            asked.append((each, pair, _principles(constitution, prompt, each, number, settings)))
    questions = [
        JudgeQuestion(each.prompt, pair, principle.text)
        for each, pair, principles in asked
        for principle in principles
    ]
    judgments = judge.judge(questions)
    remaining = iter(judgments)
    labeled, outcomes = [], Counter[str]()
    for each, pair, principles in asked:
        by_principle = tuple(PrincipleJudgment(p, next(remaining)) for p in principles)
        label = combine_judgments(
            by_principle,
            clamp=settings.clamp if judge.has_reasoning else None,
            drops_flipped=settings.on_flip == "drop",
            weighted=settings.principles_per_pair == 0,
        )
        found = LabeledPair(each, pair, by_principle, label)
        outcome = label.outcome
        limit = settings.max_length_ratio
        if outcome == "labeled" and limit is not None and found.length_ratio > limit:
            outcomes["too long"] += 1
            continue
        outcomes[outcome] += 1
        if outcome == "labeled":
            labeled.append(found)
    return LabeledPairs(tuple(labeled), outcomes, count_judgments(judgments))


def _principles(
    constitution: Constitution,
    prompt: str,
    candidates: Candidates,
    pair_number: int,
    settings: ConstitutionSettings,
) -> list[Principle]:
    if settings.principles_per_pair == 0:
        return constitution.applicable(prompt)
    key = (settings.seed, "label", candidates.index, pair_number)
    return constitution.draw(prompt, *key, count=settings.principles_per_pair)


def pair_row(
    pair: LabeledPair, *, constitution: Constitution, judge: Judge, model: str
) -> dict[str, JSON]:
    """Return a comparison in the format of preference data, with its provenance."""
    is_first = pair.label.is_first_better
    probability = pair.label.probability if is_first else 1 - pair.label.probability
    return {
        "prompt": [{"role": m.role, "content": m.content} for m in pair.candidates.prompt],
        "chosen": pair.chosen,
        "rejected": pair.rejected,
        "probability": round(probability, 6),
        "weight": round(pair.label.weight, 6),
        "annotator": f"judge {judge.name}",
        "provenance": {
            "source": "principles",
            "principles": [_judgment_row(each, is_first=is_first) for each in pair.judgments],
            "principles_sha256": constitution.sha256,
            "judge": judge.name,
            "judge_identity": judge.identity,
            "model": model,
            "chosen": pair.candidates.source(pair.chosen),
            "rejected": pair.candidates.source(pair.rejected),
            "prompt_row": pair.candidates.index,
        },
    }


def _judgment_row(each: PrincipleJudgment, *, is_first: bool) -> dict[str, JSON]:
    """Return what a principle says about the chosen response."""
    choices = each.judgment.choices
    return {
        "id": each.principle.id,
        "probability": None if choices is None else round(choices[0 if is_first else 1], 6),
        "cannot_say": round(each.judgment.cannot_say, 6),
        "is_flipped": each.judgment.is_flipped,
        "label_mass": each.judgment.label_mass,
    }
