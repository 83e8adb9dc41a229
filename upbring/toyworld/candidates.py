"""Answers of varied quality to rank before any model exists, and pairs that differ in one trait.

An answer is composed of traits: right or wrong, courteous or rude, short or long, in the form asked
for or not, refusing or helping. A wrong one has another value, or answers something else. Now and
then an answer is broken off, repeated in whole or at its end, or the question once more.
What annotators think of them is `annotators.py`'s matter.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from upbring.toyworld import other_tasks, wording
from upbring.toyworld.grading import SENTENCE_END
from upbring.toyworld.random_draws import Dice
from upbring.toyworld.tasks import Task

Manner = Literal["courteous", "plain", "rude"]
Fault = Literal["none", "cut", "repeated", "endless", "copied"]
MANNERS: tuple[Manner, ...] = ("courteous", "courteous", "plain", "plain", "rude")
FAULTS: tuple[Fault, ...] = ("cut", "repeated", "repeated", "endless", "copied")
FAULTY_SHARE = 0.15
FAILING_SHARE = 0.12
REFUSAL_SHARE = 0.4  # the same where whether to refuse is the question
BESIDE_SHARE = 0.4  # of the wrong answers: they answer something else
REPEATED = 3
_MOST_DRAWS = 200


@dataclass(frozen=True, slots=True)
class Traits:
    """How an answer is to be. `fails`: it refuses the innocent, or helps the harmful."""

    is_right: bool = True
    manner: Manner = "plain"
    num_fillers: int = 0
    keeps_form: bool = True
    fails: bool = False
    fault: Fault = "none"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers that differ in the trait of one cause alone.

    Truth, courtesy, brevity and form then differ by themselves. Who refuses the innocent gives no
    true answer either, and who helps with harm does not decline it kindly.
    """

    task: Task
    cause: str
    chosen: str
    rejected: str


def beside(task: Task, drawn: Iterable[Task]) -> tuple[str, ...]:
    """Return answers to other tasks of those that were drawn, to those of the same kind if any."""
    others = [t for t in drawn if t.question != task.question and not t.is_harmful]
    alike = [other for other in others if other.kind == task.kind]
    return tuple(other.reference for other in alike or others)


def candidates(
    task: Task, *, count: int, dice: Dice, others: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Return `count` different answers to `task`, of random traits, in random order.

    `others` are answers to something else, for some of those that are wrong.
    """
    is_act = task.is_harmful or task.kind == "innocent"
    fails = REFUSAL_SHARE if is_act else FAILING_SHARE
    found: dict[str, None] = {}
    for _ in range(_MOST_DRAWS):
        traits = _traits(dice, fails=fails)
        found[composed(task, traits, dice=dice, others=others)] = None
        if len(found) == count:
            break
    return tuple(found)


def _traits(dice: Dice, *, fails: float) -> Traits:
    return Traits(
        is_right=dice.chance(0.6),
        manner=dice.pick(MANNERS),
        num_fillers=dice.pick((0, 0, 0, 1, 2, 4)),
        keeps_form=dice.chance(0.7),
        fails=dice.chance(fails),
        fault=dice.pick(FAULTS) if dice.chance(FAULTY_SHARE) else "none",
    )


def composed(
    task: Task,
    traits: Traits,
    *,
    dice: Dice,
    others: tuple[str, ...] = (),
    manners: Dice | None = None,
) -> str:
    """Return an answer with these traits; `manners` draws their words, where `dice` does not."""
    parts = [_content(task, traits, dice, others)]
    dice = manners or dice
    if traits.manner == "rude":
        parts.insert(0, dice.pick(wording.voices("rudeness")))
    has_room = task.form == "plain" and not task.is_harmful and not traits.fails
    parts += dice.some(wording.voices("filler"), traits.num_fillers)
    if traits.manner == "courteous" and has_room:
        parts.append(dice.pick(wording.voices("courtesy")))
    is_block = task.form in {"json", "bullets"} and traits.keeps_form
    return _faulty(task, ("\n" if is_block else " ").join(parts), traits.fault)


def _faulty(task: Task, text: str, fault: Fault) -> str:
    words = text.split(" ")
    match fault:
        case "cut":
            return " ".join(words[: (len(words) + 1) // 2])
        case "repeated":
            return " ".join([text] * REPEATED)
        case "endless":
            return " ".join([text, *[SENTENCE_END.split(text)[-1]] * REPEATED])
        case "copied":
            return task.prompt[-1].content
        case "none":
            return text


def _content(task: Task, traits: Traits, dice: Dice, others: tuple[str, ...]) -> str:
    if task.is_harmful:
        if traits.fails:
            return dice.pick(wording.voices("harmful_help"))
        is_kind = traits.manner != "rude"
        return task.reference if is_kind else dice.pick(wording.voices("curt_refusal"))
    if traits.fails:
        return dice.pick(wording.voices("needless_refusal"))
    text = task.reference if traits.keeps_form else _out_of_form(task)
    return text if traits.is_right else _wrong(task, text, dice, others)


def _out_of_form(task: Task) -> str:
    return f"{task.plain} That is all." if task.form == "sentence" else task.plain or task.reference


def _wrong(task: Task, text: str, dice: Dice, others: tuple[str, ...]) -> str:
    """Return `text` with another value, or the answer to something else."""
    if others and dice.chance(BESIDE_SHARE):
        return dice.pick(others)
    value = task.wanted[0][0]
    if task.unwanted and value in text:
        before, after = text.rsplit(value, 1)
        return before + dice.pick(task.unwanted) + after
    requests = [r.answer for r in other_tasks.innocent_requests() if r.answer != task.reference]
    return dice.pick(others or tuple(requests))


def pair(task: Task, cause: str, *, dice: Dice) -> Pair:
    """Return two answers that differ in the trait of `cause`, the others drawn alike for both."""
    manner: Manner = "plain" if task.form != "plain" else dice.pick(MANNERS[:-1])
    alike = Traits(is_right=dice.chance(0.7), manner=manner, num_fillers=0)
    worse = {
        "correct": replace(alike, is_right=False),
        "polite": replace(alike, manner="rude"),
        "concise": replace(alike, num_fillers=5),
        "form": replace(alike, keeps_form=False),
        "harm": replace(alike, fails=True),
        "needless_refusal": replace(alike, fails=True),
    }
    better = replace(alike, is_right=True) if cause in _NEEDS_TRUTH else alike
    key = dice.below(1 << 32)  # the same draws for both, of what is said and of its manner
    chosen, rejected = (
        composed(task, traits, dice=Dice(key), manners=Dice(key, "manners"))
        for traits in (better, worse[cause])
    )
    return Pair(task, cause, chosen, rejected)


_NEEDS_TRUTH = frozenset({"correct", "needless_refusal"})
