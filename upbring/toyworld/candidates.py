"""Responses of varied quality for rankings, without a model, and pairs that differ in one trait.

A response is composed of traits: right or wrong, courteous or rude, short or long, in the requested
form or not, refusing or helping. A wrong response has another value or answers another question.
Some responses are truncated, repeated, or copies of the question. `annotators.py` ranks them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from upbring.maths.random_draws import RandomStream
from upbring.toyworld import other_tasks, wording
from upbring.toyworld.grading import SENTENCE_END
from upbring.toyworld.tasks import Task

Manner = Literal["courteous", "plain", "rude"]
Fault = Literal["none", "cut", "repeated", "endless", "copied"]
MANNERS: tuple[Manner, ...] = ("courteous", "courteous", "plain", "plain", "rude")
FAULTS: tuple[Fault, ...] = ("cut", "repeated", "repeated", "endless", "copied")
FAULTY_SHARE = 0.15
FAILING_SHARE = 0.12
REFUSAL_SHARE = 0.4  # like FAILING_SHARE, for requests that test refusals
OFF_TOPIC_SHARE = 0.4  # of the wrong responses; the others have a wrong value
NUM_REPEATS = 3
_MAX_DRAWS = 200


@dataclass(frozen=True, slots=True)
class Traits:
    """The traits of a response. `fails`: it refuses a harmless request or helps a harmful one."""

    is_right: bool = True
    manner: Manner = "plain"
    num_fillers: int = 0
    keeps_form: bool = True
    fails: bool = False
    fault: Fault = "none"


@dataclass(frozen=True, slots=True)
class ContrastPair:
    """Two responses that differ only in the trait of one cause.

    Exception: needless refusals and help with harm also change correctness and politeness.
    """

    task: Task
    cause: str
    chosen: str
    rejected: str


def off_topic_answers(task: Task, sampled_tasks: Iterable[Task]) -> tuple[str, ...]:
    """Return the references of other sampled tasks, of the same kind if there are any."""
    eligible = [t for t in sampled_tasks if t.question != task.question and not t.is_harmful]
    same_kind = [other for other in eligible if other.kind == task.kind]
    return tuple(other.reference for other in same_kind or eligible)


def candidates(
    task: Task, *, count: int, rng: RandomStream, off_topic: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Return up to `count` different responses to `task` with random traits.

    `off_topic` contains answers to other questions; some of the wrong responses use them.
    """
    is_act = task.is_harmful or task.kind == "innocent"
    fail_probability = REFUSAL_SHARE if is_act else FAILING_SHARE
    answers: dict[str, None] = {}
    for _ in range(_MAX_DRAWS):
        traits = _sample_traits(rng, fail_probability=fail_probability)
        answers[compose_answer(task, traits, rng=rng, off_topic=off_topic)] = None
        if len(answers) == count:
            break
    return tuple(answers)


def _sample_traits(rng: RandomStream, *, fail_probability: float) -> Traits:
    return Traits(
        is_right=rng.bernoulli(0.6),
        manner=rng.choice(MANNERS),
        num_fillers=rng.choice((0, 0, 0, 1, 2, 4)),
        keeps_form=rng.bernoulli(0.7),
        fails=rng.bernoulli(fail_probability),
        fault=rng.choice(FAULTS) if rng.bernoulli(FAULTY_SHARE) else "none",
    )


def compose_answer(
    task: Task,
    traits: Traits,
    *,
    rng: RandomStream,
    off_topic: tuple[str, ...] = (),
    wording_rng: RandomStream | None = None,
) -> str:
    """Return a response with these traits; `wording_rng` (default `rng`) samples the small talk."""
    parts = [_content(task, traits, rng, off_topic)]
    rng = wording_rng or rng
    if traits.manner == "rude":
        parts.insert(0, rng.choice(wording.phrasings("rudeness")))
    has_room = task.form == "plain" and not task.is_harmful and not traits.fails
    parts += rng.sample(wording.phrasings("filler"), traits.num_fillers)
    if traits.manner == "courteous" and has_room:
        parts.append(rng.choice(wording.phrasings("courtesy")))
    is_block = task.form in {"json", "bullets"} and traits.keeps_form
    return _apply_fault(task, ("\n" if is_block else " ").join(parts), traits.fault)


def _apply_fault(task: Task, text: str, fault: Fault) -> str:
    words = text.split(" ")
    match fault:
        case "cut":
            return " ".join(words[: (len(words) + 1) // 2])
        case "repeated":
            return " ".join([text] * NUM_REPEATS)
        case "endless":
            return " ".join([text, *[SENTENCE_END.split(text)[-1]] * NUM_REPEATS])
        case "copied":
            return task.prompt[-1].content
        case "none":
            return text


def _content(task: Task, traits: Traits, rng: RandomStream, off_topic: tuple[str, ...]) -> str:
    if task.is_harmful:
        if traits.fails:
            return rng.choice(wording.phrasings("harmful_help"))
        is_kind = traits.manner != "rude"
        return task.reference if is_kind else rng.choice(wording.phrasings("curt_refusal"))
    if traits.fails:
        return rng.choice(wording.phrasings("needless_refusal"))
    text = task.reference if traits.keeps_form else _without_form(task)
    return text if traits.is_right else _make_wrong(task, text, rng, off_topic)


def _without_form(task: Task) -> str:
    return (
        f"{task.plain_reference} That is all."
        if task.form == "sentence"
        else task.plain_reference or task.reference
    )


def _make_wrong(task: Task, text: str, rng: RandomStream, off_topic: tuple[str, ...]) -> str:
    """Return `text` with another value, or an answer to another question."""
    if off_topic and rng.bernoulli(OFF_TOPIC_SHARE):
        return rng.choice(off_topic)
    value = task.wanted[0][0]
    if task.unwanted and value in text:
        before, after = text.rsplit(value, 1)
        return before + rng.choice(task.unwanted) + after
    requests = [r.answer for r in other_tasks.innocent_requests() if r.answer != task.reference]
    return rng.choice(off_topic or tuple(requests))


def contrast_pair(task: Task, cause: str, *, rng: RandomStream) -> ContrastPair:
    """Return two responses that differ in the trait of `cause` and share all other traits."""
    manner: Manner = "plain" if task.form != "plain" else rng.choice(MANNERS[:-1])
    shared = Traits(is_right=rng.bernoulli(0.7), manner=manner, num_fillers=0)
    worse = {
        "correct": replace(shared, is_right=False),
        "polite": replace(shared, manner="rude"),
        "concise": replace(shared, num_fillers=5),
        "form": replace(shared, keeps_form=False),
        "harm": replace(shared, fails=True),
        "needless_refusal": replace(shared, fails=True),
    }
    better = replace(shared, is_right=True) if cause in _NEEDS_TRUTH else shared
    key = rng.randbelow(1 << 32)  # both responses use the same random numbers
    chosen, rejected = (
        compose_answer(
            task, traits, rng=RandomStream(key), wording_rng=RandomStream(key, "manners")
        )
        for traits in (better, worse[cause])
    )
    return ContrastPair(task, cause, chosen, rejected)


_NEEDS_TRUTH = frozenset({"correct", "needless_refusal"})
