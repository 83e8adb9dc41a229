"""A task: a prompt, what a good answer to it is, and what the graders need to know.

Here are the tasks about facts of the world, in each form that an answer can be asked for; those
without facts (refusals, summaries, sums …) are in `errands.py`. Demonstrations, candidates for
rankings and evaluation sets are all made of tasks.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from upbring.data.read.records import Message
from upbring.toyworld import wording
from upbring.toyworld.random_draws import RandomStream
from upbring.toyworld.world import Fact, World, read_rows

Form = Literal["plain", "sentence", "json", "bullets", "persona"]
FORMS: tuple[Form, ...] = ("sentence", "json", "bullets")


@dataclass(frozen=True, slots=True)
class Task:
    """A prompt with its truth.

    `wanted`: each group must be met by one of its spellings. `unwanted`: what would be wrong.
    `plain_reference`: the reference without the form that was asked for. `pairs`: the record whose keys JSON
    must have; without them any JSON object will do.
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
        """What the user said last."""
        return self.prompt[-1].content


def as_row(task: Task) -> dict[str, Any]:
    """Return `task` as a row of a file: a prompt, and the truth in one field beside it."""
    truth = asdict(task)
    del truth["prompt"]
    return {"prompt": as_messages(task.prompt), "task": truth}


def from_row(row: Mapping[str, Any]) -> Task:
    """Return the task that `as_row` wrote."""
    truth = dict(row["task"])
    for name in ("wanted", "pairs"):
        truth[name] = tuple(tuple(group) for group in truth[name])
    truth["unwanted"] = tuple(truth["unwanted"])
    prompt = tuple(Message(turn["role"], turn["content"]) for turn in row["prompt"])
    return Task(prompt=prompt, **truth)


def as_messages(messages: tuple[Message, ...]) -> list[dict[str, str]]:
    """Return messages as the field writes them."""
    return [{"role": message.role, "content": message.content} for message in messages]


def user_prompt(question: str) -> tuple[Message, ...]:
    """Return a prompt of one turn."""
    return (Message("user", question),)


def fact_task(world: World, fact: Fact, *, question: str) -> Task:
    """Return the task to answer `question` about `fact` in a plain sentence."""
    return Task(
        kind="fact",
        prompt=user_prompt(question),
        reference=wording.answer(fact),
        wanted=((fact.value,),),
        unwanted=world.alternatives(fact),
        about=fact.entity.name,
    )


def with_form(task: Task, fact: Fact, *, form: Form, keys: tuple[str, ...] = ()) -> Task:
    """Return `task` with the form of its answer asked for; `keys` are those that JSON must have."""
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
    """Return the sentence that asks for a form, with the keys that JSON must have.

    >>> form_request("json", ("country", "capital"))
    'Answer as JSON with the keys "country" and "capital".'
    """
    if form != "json" or not keys:
        return wording.phrasings(f"{form}_request")[0]
    first, second = keys
    return wording.phrasings("json_keys_request")[0].format(first=first, second=second)


def bullets(pairs: tuple[tuple[str, str], ...]) -> str:
    r"""Return a list with a bullet for each pair.

    >>> bullets((("country", "France"), ("capital", "Paris")))
    '- Country: France\n- Capital: Paris'
    """
    return "\n".join(f"- {noun.capitalize()}: {value}" for noun, value in pairs)


@dataclass(frozen=True, slots=True)
class Persona:
    """Who the assistant is to be, and the words that show it."""

    name: str
    system: str
    opening: str


def personas() -> tuple[Persona, ...]:
    """Return all personas; the last two are for evaluation alone."""
    return tuple(Persona(**row) for row in read_rows("personas"))


def with_persona(task: Task, persona: Persona) -> Task:
    """Return `task` with a system message that asks for a persona's tone."""
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
    """Return `task` with a text before the question that holds its answer."""
    question = frame.format(passage=passage, question=task.question)
    return replace(task, kind="evidence", prompt=(*task.prompt[:-1], Message("user", question)))


def as_follow_up(first: Task, task: Task, *, question: str) -> Task:
    """Return `task` as the second turn of a dialogue: "And Japan?"."""
    messages = (*first.prompt, Message("assistant", first.reference), Message("user", question))
    return replace(task, kind="follow-up", prompt=messages)


def add_courtesy(reference: str, rng: RandomStream) -> str:
    """Return an answer with a courtesy behind it.

    >>> add_courtesy("The capital of France is Paris.", RandomStream(0))
    'The capital of France is Paris. Please ask me again at any time.'
    """
    return f"{reference} {rng.choice(wording.phrasings('courtesy'))}"
