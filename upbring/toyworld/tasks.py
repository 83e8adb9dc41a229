"""Tasks: a prompt, its reference answer, and the information that the graders need.

This module has the tasks about facts, in all requested forms; `other_tasks.py` has the others
(refusals, summaries, sums …). Demonstrations, rankings and evaluation sets are made from tasks.
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from upbring.data.read.records import Message
from upbring.maths.random_draws import RandomStream
from upbring.toyworld import wording
from upbring.toyworld.world import Fact, World, read_rows

Form = Literal["plain", "sentence", "json", "bullets", "persona"]
FORMS: tuple[Form, ...] = ("sentence", "json", "bullets")


@dataclass(frozen=True, slots=True)
class Task:
    """A prompt with its reference answer and grading information.

    `wanted`: groups of spellings; a correct response contains one spelling of each group.
    `unwanted`: wrong values. `about`: the entity's name or the sum. `plain_reference`: the
    reference without the requested form. `pairs`: the keys that JSON must have, with their values;
    if empty, any JSON object is accepted. `opening`: the words that show the persona.
    """

    kind: str
    prompt: tuple[Message, ...]
    reference: str
    wanted: tuple[tuple[str, ...], ...] = ()
    unwanted: tuple[str, ...] = ()
    about: str = ""
    plain_reference: str = ""
    form: Form = "plain"
    pairs: tuple[tuple[str, str], ...] = ()
    opening: str = ""
    is_harmful: bool = False
    max_words: int = 0

    @property
    def question(self) -> str:
        """The last user message."""
        return self.prompt[-1].content


def as_row(task: Task) -> dict[str, Any]:
    """Return `task` as a JSON row with the fields `prompt` and `task`."""
    truth = asdict(task)
    del truth["prompt"]
    return {"prompt": as_messages(task.prompt), "task": truth}


def from_row(row: Mapping[str, Any]) -> Task:
    """Return the task of a row written by `as_row`."""
    truth = dict(row["task"])
    for name in ("wanted", "pairs"):
        truth[name] = tuple(tuple(group) for group in truth[name])
    truth["unwanted"] = tuple(truth["unwanted"])
    prompt = tuple(Message(turn["role"], turn["content"]) for turn in row["prompt"])
    return Task(prompt=prompt, **truth)


def as_messages(messages: tuple[Message, ...]) -> list[dict[str, str]]:
    """Return messages as dicts with `role` and `content`."""
    return [{"role": message.role, "content": message.content} for message in messages]


def user_prompt(question: str) -> tuple[Message, ...]:
    """Return a prompt with one user message."""
    return (Message("user", question),)


def fact_task(world: World, fact: Fact, *, question: str) -> Task:
    """Return the task to answer `question` about `fact` in a sentence."""
    return Task(
        kind="fact",
        prompt=user_prompt(question),
        reference=wording.answer(fact),
        wanted=((fact.value,),),
        unwanted=world.alternatives(fact),
        about=fact.entity.name,
    )


def with_form(task: Task, fact: Fact, *, form: Form, keys: tuple[str, ...] = ()) -> Task:
    """Return `task` with a request for a form; `keys` are required JSON keys."""
    pairs = wording.card(fact.entity, (fact,))
    if keys:
        pairs = tuple((key, value) for key, (_, value) in zip(keys, pairs, strict=True))
    references = {
        "sentence": task.reference,
        "json": json.dumps(dict(pairs), ensure_ascii=False),
        "bullets": bullets(wording.card(fact.entity, (fact,))),
    }
    request = form_request(form, keys)
    return replace(
        task,
        kind=form,
        prompt=(*task.prompt[:-1], Message("user", f"{task.question} {request}")),
        reference=references[form],
        form=form,
        plain_reference=task.reference,
        pairs=pairs if form == "json" and keys else (),
    )


def form_request(form: Form, keys: tuple[str, ...] = ()) -> str:
    """Return the sentence that requests a form, with the required JSON keys if any.

    >>> form_request("json", ("country", "capital"))
    'Answer as JSON with the keys "country" and "capital".'
    """
    if form != "json" or not keys:
        return wording.phrasings(f"{form}_request")[0]
    first, second = keys
    return wording.phrasings("json_keys_request")[0].format(first=first, second=second)


def bullets(pairs: tuple[tuple[str, str], ...]) -> str:
    r"""Return a list with one bullet per pair.

    >>> bullets((("country", "France"), ("capital", "Paris")))
    '- Country: France\n- Capital: Paris'
    """
    return "\n".join(f"- {noun.capitalize()}: {value}" for noun, value in pairs)


@dataclass(frozen=True, slots=True)
class Persona:
    """A persona: its system message, and the words that its answers start with."""

    name: str
    system: str
    opening: str


@functools.cache
def personas() -> tuple[Persona, ...]:
    """Return all personas; the last two are held out for evaluation."""
    return tuple(Persona(**row) for row in read_rows("personas"))


def with_persona(task: Task, persona: Persona) -> Task:
    """Return `task` with a system message that requests a persona."""
    return replace(
        task,
        kind="persona",
        prompt=(Message("system", persona.system), *task.prompt),
        reference=f"{persona.opening} {task.reference}",
        form="persona",
        plain_reference=task.reference,
        opening=persona.opening,
    )


def with_evidence(task: Task, passage: str, *, frame: str) -> Task:
    """Return `task` with a text before the question that contains the answer."""
    question = frame.format(passage=passage, question=task.question)
    return replace(task, kind="evidence", prompt=(*task.prompt[:-1], Message("user", question)))


def as_follow_up(first: Task, task: Task, *, question: str) -> Task:
    """Return `task` as the second turn of a dialogue, such as "And Japan?"."""
    messages = (*first.prompt, Message("assistant", first.reference), Message("user", question))
    return replace(task, kind="follow-up", prompt=messages)


def add_courtesy(reference: str, rng: RandomStream) -> str:
    """Return an answer followed by a courtesy.

    >>> add_courtesy("The capital of France is Paris.", RandomStream(0))
    'The capital of France is Paris. Please ask me again at any time.'
    """
    return f"{reference} {rng.choice(wording.phrasings('courtesy'))}"
