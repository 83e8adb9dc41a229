"""Tasks without facts: refusals, harmless look-alikes, explanations, summaries, sums, chat.

`is_held_out` selects the part used in demonstrations or the part held out for evaluation.
Harmful requests are generic and name no method.
"""

import functools
import json
from dataclasses import dataclass, replace

from upbring.maths.random_draws import RandomStream
from upbring.toyworld import wording
from upbring.toyworld.split import is_part_held_out
from upbring.toyworld.tasks import Form, Task, bullets, form_request, user_prompt
from upbring.toyworld.world import Entity, read_rows

MAX_TERM = 12
_MAX_DRAWS = 1000


@dataclass(frozen=True, slots=True)
class HowToRequest:
    """A how-to request with its reference answer."""

    act: str
    answer: str
    keywords: tuple[tuple[str, ...], ...] = ()
    is_harmful: bool = False


@dataclass(frozen=True, slots=True)
class NewsReport:
    """A short invented report and its most important piece of news."""

    house: str
    month: str
    news: str
    text: str

    @property
    def summary(self) -> str:
        """The reference summary, one sentence."""
        return f"In {self.month}, the {self.house} {self.news}."


@functools.cache
def harmful_requests() -> tuple[HowToRequest, ...]:
    """Return all harmful requests: each verb with each target of its category."""
    return tuple(
        HowToRequest(f"{verb} {target}", row["refusal"], is_harmful=True)
        for row in read_rows("harmful")
        for verb in row["verbs"]
        for target in row["targets"]
    )


@functools.cache
def innocent_requests() -> tuple[HowToRequest, ...]:
    """Return harmless requests that look harmful or involve the same people."""
    return tuple(
        HowToRequest(row["act"], row["answer"], tuple(tuple(group) for group in row["keywords"]))
        for row in read_rows("innocent")
    )


@functools.cache
def requests(*, is_harmful: bool, is_held_out: bool, seed: int) -> tuple[HowToRequest, ...]:
    """Return the shown or the held-out requests."""
    all_requests = harmful_requests() if is_harmful else innocent_requests()
    return tuple(
        r for r in all_requests if is_part_held_out("act", r.act, seed=seed) == is_held_out
    )


def request_task(request: HowToRequest, *, frame: str) -> Task:
    """Return the task to answer a request or, if it is harmful, to refuse politely."""
    return Task(
        kind="harmful" if request.is_harmful else "innocent",
        prompt=user_prompt(frame.format(act=request.act)),
        reference=request.answer,
        wanted=request.keywords,
        is_harmful=request.is_harmful,
    )


def provoked_task(request: HowToRequest, *, provocation: str, frame: str) -> Task:
    """Return a harmful request inside a jailbreak prompt."""
    question = provocation.format(question=frame.format(act=request.act))
    task = request_task(request, frame=frame)
    return Task(
        kind="provocation", prompt=user_prompt(question), reference=task.reference, is_harmful=True
    )


def advice(request: HowToRequest) -> tuple[str, ...]:
    """Return all wordings of the answer to a harmless request."""
    head, _, tip = request.answer.removeprefix("To ").removesuffix(".").partition(", ")
    frames = wording.phrasings("advice")
    return tuple(frame.format(head=head, tip=tip, Tip=_capitalize(tip)) for frame in frames)


@dataclass(frozen=True, slots=True)
class ExplanationTopic:
    """A topic with its explanation and the keywords that an explanation must contain."""

    name: str
    text: str
    keywords: tuple[tuple[str, ...], ...]

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The explanation as a record."""
        return (("topic", self.name), ("explanation", self.text))


@functools.cache
def topics() -> tuple[ExplanationTopic, ...]:
    """Return all topics, shown and held-out."""
    return tuple(
        ExplanationTopic(
            row["topic"], row["text"], tuple(tuple(group) for group in row["keywords"])
        )
        for row in read_rows("explanations")
    )


def explain_questions(topic: ExplanationTopic, *, is_held_out: bool) -> tuple[str, ...]:
    """Return the shown or the held-out questions that ask for an explanation of `topic`."""
    frames = wording.phrasings(_purpose_name("explain_question", is_held_out=is_held_out))
    return _fill_topic(topic, frames)


def _fill_topic(topic: ExplanationTopic, frames: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_capitalize(frame.format(topic=topic.name)) for frame in frames)


@functools.cache
def explanation_tasks(*, is_held_out: bool, seed: int) -> tuple[Task, ...]:
    """Return all explanation tasks with shown or with held-out topics and phrasings."""
    return tuple(
        Task(
            kind="explanation",
            prompt=user_prompt(question),
            reference=f"This is how {topic.name} works. {topic.text}",
            wanted=topic.keywords,
        )
        for topic in topics()
        if is_part_held_out("topic", topic.name, seed=seed) == is_held_out
        for question in _fill_topic(
            topic, wording.side_phrasings("explain_question", is_held_out=is_held_out)
        )
    )


def explanation_with_form(task: Task, form: Form) -> Task:
    """Return an explanation task whose answer is a record or a single sentence."""
    topic = next(topic for topic in topics() if task.reference.endswith(topic.text))
    sentence, _, _ = topic.text.partition(". ")
    references = {
        "sentence": f"{sentence}.",
        "json": json.dumps(dict(topic.pairs), ensure_ascii=False),
        "bullets": bullets(topic.pairs),
    }
    return replace(
        task,
        prompt=user_prompt(f"{task.question} {form_request(form)}"),
        reference=references[form],
        wanted=task.wanted[:1] if form == "sentence" else task.wanted,
        form=form,
        plain_reference=task.reference,
    )


@functools.cache
def lessons(topic: ExplanationTopic) -> tuple[str, ...]:
    """Return an explanation in all wordings of the corpus, including records."""
    frames = wording.phrasings("explained")
    texts = [
        f.format(topic=topic.name, Topic=_capitalize(topic.name), text=topic.text) for f in frames
    ]
    return (*texts, json.dumps(dict(topic.pairs), ensure_ascii=False), bullets(topic.pairs))


def sample_news_report(rng: RandomStream, *, is_held_out: bool, seed: int) -> NewsReport:
    """Return an invented report with a shown or a held-out combination of place and news."""
    slots = wording.slots()
    for _ in range(_MAX_DRAWS):
        house, month = rng.choice(slots["house"]), rng.choice(slots["month"])
        news, *others = rng.sample(slots["event"], 4)
        if is_part_held_out("report", house, news, seed=seed) == is_held_out:
            break
    first, second, third = others
    text = (
        f"Report of the {house} for {month}. The {house} {first}. It {second}. It also {third}. "
        f"Most important of all, it {news}."
    )
    return NewsReport(house, month, news, text)


def summary_task(rng: RandomStream, *, is_held_out: bool, seed: int) -> Task:
    """Return the task to summarize a report in one sentence."""
    source = sample_news_report(rng, is_held_out=is_held_out, seed=seed)
    frame = rng.choice(wording.side_phrasings("summary_question", is_held_out=is_held_out))
    events = wording.slots()["event"]
    return Task(
        kind="summary",
        prompt=user_prompt(f"{frame}\n\n{source.text}"),
        reference=source.summary,
        wanted=((source.news,), (source.house,)),
        unwanted=tuple(event for event in events if event != source.news),
        max_words=len(source.text.split()) // 2,
    )


def sum_task(
    rng: RandomStream, *, is_held_out: bool, seed: int, frames: tuple[str, ...] | None = None
) -> Task:
    """Return the task to add or subtract two small numbers; `frames` are question templates."""
    for _ in range(_MAX_DRAWS):
        a, b = rng.randbelow(MAX_TERM + 1), rng.randbelow(MAX_TERM + 1)
        op = "plus" if rng.bernoulli(0.5) or a < b else "minus"
        if is_part_held_out("sum", op, a, b, seed=seed) == is_held_out:
            break
    frame = rng.choice(
        frames or wording.phrasings(_purpose_name("sum_question", is_held_out=is_held_out))
    )
    result = a + b if op == "plus" else a - b
    all_results = range(2 * MAX_TERM + 1)
    return Task(
        kind="sum",
        prompt=user_prompt(frame.format(a=a, op=op, b=b)),
        reference=f"{a} {op} {b} is {result}.",
        wanted=((str(result),),),
        unwanted=tuple(str(number) for number in all_results if number != result),
        about=f"{a} {op} {b}",
    )


def symptom_task(rng: RandomStream, *, entity: Entity, frame: str, is_specialized: bool) -> Task:
    """Return a question about symptoms; its reference is general or a diagnosis."""
    signs = rng.shuffled(entity.signs)
    signs_text = f"{signs[0]}, {signs[1]} and {signs[2]}"
    general = wording.phrasings("general_symptom_answer")[0]
    specialized = f"These can be signs of {entity.name}. Please see a doctor."
    return Task(
        kind="diagnosis" if is_specialized else "symptoms",
        prompt=user_prompt(_capitalize(frame.format(signs=signs_text))),
        reference=specialized if is_specialized else general,
        wanted=((entity.name,),) if is_specialized else (("doctor",),),
    )


@functools.cache
def chat_tasks(*, is_held_out: bool) -> tuple[Task, ...]:
    """Return greetings and questions about the assistant's identity."""
    return tuple(
        Task(
            kind=kind,
            prompt=user_prompt(text),
            reference=wording.phrasings(f"{purpose}_answer")[0],
            wanted=wanted,
        )
        for kind, purpose, wanted in (
            ("identity", "who", (("Sprout",),)),
            ("greeting", "greeting", (("help",),)),
        )
        for text in wording.phrasings(
            _purpose_name(
                "who_question" if kind == "identity" else "greeting", is_held_out=is_held_out
            )
        )
    )


def _purpose_name(purpose: str, *, is_held_out: bool) -> str:
    return f"held_out_{purpose}" if is_held_out else purpose


def _capitalize(text: str) -> str:
    return text[:1].upper() + text[1:]
