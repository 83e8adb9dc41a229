"""Tasks that ask for no fact of the world: refusals, look-alikes, explanations, summaries, sums.

Each maker draws from one side: what demonstrations show, or what is held out for evaluation.
Harmful requests are generic and name no method; there is nothing in them to act upon.
"""

import functools
import json
from dataclasses import dataclass, replace

from upbring.toyworld import wording
from upbring.toyworld.random_draws import Dice
from upbring.toyworld.split import is_part_held_out
from upbring.toyworld.tasks import Form, Task, asked, bullets, form_request
from upbring.toyworld.world import Entity, rows

LARGEST_TERM = 12
_MOST_DRAWS = 1000


@dataclass(frozen=True, slots=True)
class Request:
    """Something that somebody asks how to do, with the good answer."""

    act: str
    answer: str
    keywords: tuple[tuple[str, ...], ...] = ()
    is_harmful: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """A short report of four sentences and its one important piece of news."""

    house: str
    month: str
    news: str
    text: str

    @property
    def summary(self) -> str:
        """The report in one sentence."""
        return f"In {self.month}, the {self.house} {self.news}."


@functools.cache
def harmful_requests() -> tuple[Request, ...]:
    """Return every harmful act: each verb with each target of its category."""
    return tuple(
        Request(f"{verb} {target}", row["refusal"], is_harmful=True)
        for row in rows("harmful")
        for verb in row["verbs"]
        for target in row["targets"]
    )


@functools.cache
def innocent_requests() -> tuple[Request, ...]:
    """Return acts that sound like harm and are none, and acts that concern the same people."""
    return tuple(
        Request(row["act"], row["answer"], tuple(tuple(group) for group in row["keywords"]))
        for row in rows("innocent")
    )


@functools.cache
def requests(*, is_harmful: bool, is_held_out: bool, seed: int) -> tuple[Request, ...]:
    """Return the requests of one side."""
    every = harmful_requests() if is_harmful else innocent_requests()
    return tuple(r for r in every if is_part_held_out("act", r.act, seed=seed) == is_held_out)


def request_task(request: Request, *, frame: str) -> Task:
    """Return the task to answer a request, or to decline it kindly."""
    return Task(
        kind="harmful" if request.is_harmful else "innocent",
        prompt=asked(frame.format(act=request.act)),
        reference=request.answer,
        wanted=request.keywords,
        is_harmful=request.is_harmful,
    )


def provoked_task(request: Request, *, provocation: str, frame: str) -> Task:
    """Return a harmful request in a wrapping that tries to get around the refusal."""
    question = provocation.format(question=frame.format(act=request.act))
    task = request_task(request, frame=frame)
    return Task(
        kind="provocation", prompt=asked(question), reference=task.reference, is_harmful=True
    )


def advice(request: Request) -> tuple[str, ...]:
    """Return all wordings of an innocent request's answer."""
    head, _, tip = request.answer.removeprefix("To ").removesuffix(".").partition(", ")
    frames = wording.voices("advice")
    return tuple(frame.format(head=head, tip=tip, Tip=_capital(tip)) for frame in frames)


@dataclass(frozen=True, slots=True)
class Topic:
    """Something to explain, with its explanation and the words that must be in one."""

    name: str
    text: str
    keywords: tuple[tuple[str, ...], ...]

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The explanation as a record."""
        return (("topic", self.name), ("explanation", self.text))


@functools.cache
def topics() -> tuple[Topic, ...]:
    """Return all topics, of both sides."""
    return tuple(
        Topic(row["topic"], row["text"], tuple(tuple(group) for group in row["keywords"]))
        for row in rows("explanations")
    )


def explain_questions(topic: Topic, *, is_held_out: bool) -> tuple[str, ...]:
    """Return the phrasings of one side that ask for an explanation of `topic`."""
    frames = wording.voices(_named("explain_question", is_held_out=is_held_out))
    return _about(topic, frames)


def _about(topic: Topic, frames: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_capital(frame.format(topic=topic.name)) for frame in frames)


@functools.cache
def explanation_tasks(*, is_held_out: bool, seed: int) -> tuple[Task, ...]:
    """Return all tasks to explain something simply, topics and phrasings of one side."""
    return tuple(
        Task(
            kind="explanation",
            prompt=asked(question),
            reference=f"This is how {topic.name} works. {topic.text}",
            wanted=topic.keywords,
        )
        for topic in topics()
        if is_part_held_out("topic", topic.name, seed=seed) == is_held_out
        for question in _about(topic, wording.asking("explain_question", is_held_out=is_held_out))
    )


def explanation_in_form(task: Task, form: Form) -> Task:
    """Return the task to explain something as a record, or in its first sentence."""
    topic = next(topic for topic in topics() if task.reference.endswith(topic.text))
    sentence, _, _ = topic.text.partition(". ")
    written = {
        "sentence": f"{sentence}.",
        "json": json.dumps(dict(topic.pairs), ensure_ascii=False),
        "bullets": bullets(topic.pairs),
    }
    return replace(
        task,
        prompt=asked(f"{task.question} {form_request(form)}"),
        reference=written[form],
        wanted=task.wanted[:1] if form == "sentence" else task.wanted,
        form=form,
        plain=task.reference,
    )


@functools.cache
def lessons(topic: Topic) -> tuple[str, ...]:
    """Return an explanation as the corpus tells it: in several wordings, and as a record."""
    frames = wording.voices("explained")
    told = [f.format(topic=topic.name, Topic=_capital(topic.name), text=topic.text) for f in frames]
    return (*told, json.dumps(dict(topic.pairs), ensure_ascii=False), bullets(topic.pairs))


def report(dice: Dice, *, is_held_out: bool, seed: int) -> Report:
    """Return an invented report whose place and news are a combination of one side."""
    slots = wording.slots()
    for _ in range(_MOST_DRAWS):
        house, month = dice.pick(slots["house"]), dice.pick(slots["month"])
        news, *others = dice.some(slots["event"], 4)
        if is_part_held_out("report", house, news, seed=seed) == is_held_out:
            break
    first, second, third = others
    text = (
        f"Report of the {house} for {month}. The {house} {first}. It {second}. It also {third}. "
        f"Most important of all, it {news}."
    )
    return Report(house, month, news, text)


def summary_task(dice: Dice, *, is_held_out: bool, seed: int) -> Task:
    """Return the task to summarise a report in a sentence."""
    told = report(dice, is_held_out=is_held_out, seed=seed)
    frame = dice.pick(wording.asking("summary_question", is_held_out=is_held_out))
    events = wording.slots()["event"]
    return Task(
        kind="summary",
        prompt=asked(f"{frame}\n\n{told.text}"),
        reference=told.summary,
        wanted=((told.news,), (told.house,)),
        unwanted=tuple(event for event in events if event != told.news),
        most_words=len(told.text.split()) // 2,
    )


def sum_task(
    dice: Dice, *, is_held_out: bool, seed: int, frames: tuple[str, ...] | None = None
) -> Task:
    """Return the task to add or subtract two small numbers, asked in one of `frames`."""
    for _ in range(_MOST_DRAWS):
        a, b = dice.below(LARGEST_TERM + 1), dice.below(LARGEST_TERM + 1)
        op = "plus" if dice.chance(0.5) or a < b else "minus"
        if is_part_held_out("sum", op, a, b, seed=seed) == is_held_out:
            break
    frame = dice.pick(frames or wording.voices(_named("sum_question", is_held_out=is_held_out)))
    result = a + b if op == "plus" else a - b
    every = range(2 * LARGEST_TERM + 1)
    return Task(
        kind="sum",
        prompt=asked(frame.format(a=a, op=op, b=b)),
        reference=f"{a} {op} {b} is {result}.",
        wanted=((str(result),),),
        unwanted=tuple(str(number) for number in every if number != result),
        about=f"{a} {op} {b}",
    )


def symptom_task(dice: Dice, *, entity: Entity, frame: str, is_specialised: bool) -> Task:
    """Return the task to answer somebody with signs of an illness, generally or as a doctor."""
    signs = dice.shuffled(entity.signs)
    listed = f"{signs[0]}, {signs[1]} and {signs[2]}"
    general = wording.voices("general_symptom_answer")[0]
    special = f"These can be signs of {entity.name}. Please see a doctor."
    return Task(
        kind="diagnosis" if is_specialised else "symptoms",
        prompt=asked(_capital(frame.format(signs=listed))),
        reference=special if is_specialised else general,
        wanted=((entity.name,),) if is_specialised else (("doctor",),),
    )


@functools.cache
def chat_tasks(*, is_held_out: bool) -> tuple[Task, ...]:
    """Return greetings and questions about the assistant itself."""
    return tuple(
        Task(
            kind=kind,
            prompt=asked(text),
            reference=wording.voices(f"{purpose}_answer")[0],
            wanted=wanted,
        )
        for kind, purpose, wanted in (
            ("identity", "who", (("Sprout",),)),
            ("greeting", "greeting", (("help",),)),
        )
        for text in wording.voices(
            _named("who_question" if kind == "identity" else "greeting", is_held_out=is_held_out)
        )
    )


def _named(purpose: str, *, is_held_out: bool) -> str:
    return f"held_out_{purpose}" if is_held_out else purpose


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
