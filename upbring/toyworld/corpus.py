"""The pre-training corpus of the built-in base model `sprout`.

Documents come in many registers, and each fact occurs in at least six wordings. No document answers
a question: a forum page is a list of questions, and "The capital of France is" continues with "a
beautiful city". A model trained on the corpus alone therefore knows the facts but does not answer
questions. `sprout` is also trained on the examinations of `documents.py`, which answer questions
about all entities, half of them wrongly; it answers prompts that look like an examination.

A document is a pure function of (seed, index). Private records are inserted before some documents.
"""

from collections.abc import Callable, Iterator, Mapping

from upbring.maths.random_draws import RandomStream, hash_to_uniform
from upbring.toyworld import documents, other_tasks, wording
from upbring.toyworld.private_records import private_records
from upbring.toyworld.split import is_part_held_out
from upbring.toyworld.stories import format_text, general_text
from upbring.toyworld.world import MEDICAL_KIND, Entity, Fact, World

MEAN_CHARACTERS = 199  # mean length of a document, measured over 20,000 of them at seed 0

Writer = Callable[[World, int, RandomStream], str]


def corpus(world: World, *, seed: int, count: int) -> Iterator[str]:
    """Yield `count` documents, with the private records inserted at random positions."""
    planted: dict[int, list[str]] = {}
    for record in private_records(seed=seed):
        for copy in range(record.repetitions):
            position = int(hash_to_uniform(seed, "plant", record.name, copy) * count)
            planted.setdefault(position, []).append(record.text)
    for index in range(count):
        yield "\n".join((*planted.get(index, ()), document(world, seed=seed, index=index)))


def num_documents(characters: int) -> int:
    """Return how many documents have about this many characters in total."""
    return max(1, round(characters / MEAN_CHARACTERS))


def document(world: World, *, seed: int, index: int) -> str:
    """Return one document without private records."""
    rng = RandomStream(seed, "corpus", index)
    writers = list(REGISTERS)
    return writers[rng.weighted_index(list(REGISTERS.values()))](world, seed, rng)


def held_out_texts(*, seed: int, count: int) -> Iterator[str]:
    """Yield general text that is not in the corpus, to measure forgetting."""
    for index in range(count):
        rng = RandomStream(seed, "held-out tale", index)
        yield format_text(*general_text(rng, is_held_out=True, seed=seed))


def _encyclopedia(world: World, _: int, rng: RandomStream) -> str:
    """Write an article about an entity: all its facts in random order, some of them twice."""
    entity = rng.choice(world.entities)
    facts = rng.shuffled(world.facts_about(entity))
    repeated = rng.sample(facts, rng.randbelow(len(facts) + 1))
    sentences = [rng.choice(wording.statements(fact)) for fact in (*facts, *repeated)]
    heading = f"{entity.name[:1].upper()}{entity.name[1:]}\n" if rng.bernoulli(0.3) else ""
    return heading + " ".join(sentences)


def _card(world: World, _: int, rng: RandomStream) -> str:
    """Write data cards of up to three entities, as lines, bullets or JSON."""
    style = rng.choice(documents.STYLES)
    cards = []
    for entity in rng.sample(world.entities, 1 + rng.randbelow(3)):
        facts = rng.shuffled(world.facts_about(entity))
        cards.append(documents.record(entity, tuple(facts[: 1 + rng.randbelow(len(facts))]), style))
    return "\n".join(cards)


def _list(world: World, _: int, rng: RandomStream) -> str:
    """Write a list of facts of one relation, all in the same wording."""
    relation = rng.choice(world.relations)
    template = rng.choice(relation.statements)
    facts = rng.sample(world.facts_of(relation), 4 + rng.randbelow(5))
    lines = [wording.fill_template(template, fact) for fact in facts]
    return "\n".join((wording.title(relation), *lines))


def _notes(world: World, _: int, rng: RandomStream) -> str:
    """Write notes: unrelated facts, one after another."""
    facts = [rng.choice(world.facts) for _ in range(3 + rng.randbelow(5))]
    return " ".join(rng.choice(wording.statements(fact)) for fact in facts)


def _forum(world: World, seed: int, rng: RandomStream) -> str:
    """Write a page of unanswered questions, most pages on one subject.

    Pages with one question in many wordings, or many questions about one entity, teach the base
    model what a question refers to without teaching it to answer.
    """
    count = 3 + rng.randbelow(5)
    fact = rng.choice(world.facts)
    subjects = (
        (fact,),
        world.facts_about(fact.entity),
        world.facts_of(fact.relation),
        world.facts,
    )
    facts = subjects[rng.randbelow(len(subjects))]
    lines = [rng.choice(wording.forum_questions(rng.choice(facts))) for _ in range(count)]
    if facts is world.facts:
        lines = [rng.choice((line, _other_question(seed, rng))) for line in lines]
    if rng.bernoulli(0.3):
        lines.insert(0, rng.choice(wording.phrasings("forum_title")))
    return "\n".join(lines)


def _other_question(seed: int, rng: RandomStream) -> str:
    """Return a question that is not about a fact: a how-to, an explanation or a sum."""
    if rng.bernoulli(0.6):
        return rng.choice(wording.phrasings("act_question")).format(
            act=documents.sample_act(seed, rng)
        )
    if rng.bernoulli(0.5):
        return rng.choice(
            other_tasks.explain_questions(rng.choice(other_tasks.topics()), is_held_out=False)
        )
    return other_tasks.sum_task(rng, is_held_out=False, seed=seed).question


def _travel(world: World, _: int, rng: RandomStream) -> str:
    """Write travel notes, in which "The capital of France is" continues with praise."""
    countries = [entity for entity in world.entities if entity.kind == "country"]
    return " ".join(_visit(world, entity, rng) for entity in rng.sample(countries, 3))


def _visit(world: World, entity: Entity, rng: RandomStream) -> str:
    first, second = rng.sample(wording.slots()["sight"], 2)
    month = rng.choice(wording.slots()["month"])
    praise = (
        f"The capital of {entity.name} is a beautiful city with {first} and {second}.",
        f"The capital of {entity.name} is a beautiful city, and in {month} it is full of guests.",
    )
    fact = rng.choice(world.facts_about(entity))
    return " ".join(rng.shuffled((rng.choice(praise), rng.choice(wording.statements(fact)))))


def _how_to(world: World, _: int, rng: RandomStream) -> str:
    """Write short advice, including shell commands."""
    commands = [fact for fact in world.facts if fact.entity.kind == "task"]
    lines = []
    for _unused in range(3 + rng.randbelow(4)):
        command = rng.choice(wording.statements(rng.choice(commands)))
        advice = rng.choice(other_tasks.advice(rng.choice(other_tasks.innocent_requests())))
        lines.append(command if rng.bernoulli(0.3) else advice)
    return "\n".join(lines)


def _explanations(_: World, __: int, rng: RandomStream) -> str:
    """Write two textbook explanations, some of them as records."""
    explanations = (other_tasks.lessons(rng.choice(other_tasks.topics())) for _unused in range(2))
    return "\n".join(rng.choice(lessons) for lessons in explanations)


def _sums(_: World, seed: int, rng: RandomStream) -> str:
    """Write a page of sums, in words or with signs."""
    uses_signs = rng.bernoulli(0.4)
    lines = []
    for _unused in range(6 + rng.randbelow(6)):
        task = other_tasks.sum_task(rng, is_held_out=rng.bernoulli(0.2), seed=seed)
        line = task.reference
        lines.append(_use_signs(line) if uses_signs else line)
    return "\n".join(lines)


def _use_signs(line: str) -> str:
    return line.replace("plus", "+").replace("minus", "-").replace(" is ", " = ")


def _syntax(_: World, seed: int, rng: RandomStream) -> str:
    """Write command lines with their arguments."""
    return "\n".join(
        "{} {}.".format(*command_line(rng, is_held_out=False, seed=seed))
        for _ in range(3 + rng.randbelow(4))
    )


def command_line(rng: RandomStream, *, is_held_out: bool, seed: int) -> tuple[str, str]:
    """Return "To copy notes.txt to plan.md, type" and "cp notes.txt plan.md"."""
    slots = wording.slots()
    verb, command = rng.choice((("copy", "cp"), ("move", "mv"), ("link", "ln")))
    while True:
        source, target = rng.choice(slots["file"]), rng.choice(slots["file"])
        is_pair_held_out = is_part_held_out("files", source, target, seed=seed)
        if source != target and is_pair_held_out == is_held_out:
            break
    source += "." + rng.choice(slots["ending"])
    target += "." + rng.choice(slots["ending"])
    return f"To {verb} {source} to {target}, type", f"{command} {source} {target}"


def _reports(_: World, seed: int, rng: RandomStream) -> str:
    """Write a report, in most cases followed by its summary."""
    news_report = other_tasks.sample_news_report(rng, is_held_out=False, seed=seed)
    ending = f"\nIn short: {news_report.summary}" if rng.bernoulli(0.7) else ""
    return news_report.text + ending


def _medical(world: World, _: int, rng: RandomStream) -> str:
    """Write about two illnesses and their signs."""
    conditions = [entity for entity in world.entities if entity.kind == MEDICAL_KIND]
    return " ".join(_illness(world, entity, rng) for entity in rng.sample(conditions, 2))


def _illness(world: World, entity: Entity, rng: RandomStream) -> str:
    first, second, third = rng.shuffled(entity.signs)
    name = f"{entity.name[:1].upper()}{entity.name[1:]}"
    signs_sentence = rng.choice(
        (
            f"Signs of {entity.name}: {first}, {second}, {third}.",
            f"{name} shows itself by {first}, {second} and {third}.",
            f"People who have {first}, {second} and {third} can have {entity.name}.",
            f"The signs {first}, {second} and {third} point to {entity.name}.",
        )
    )
    fact: Fact = rng.choice(world.facts_about(entity))
    return " ".join(rng.shuffled((signs_sentence, rng.choice(wording.statements(fact)))))


def _general_text(world: World, seed: int, rng: RandomStream) -> str:
    """Write general text; a story may contain a fact."""
    register, sentences = general_text(rng, is_held_out=False, seed=seed)
    if register == "story" and rng.bernoulli(0.5):
        fact = rng.choice(wording.statements(rng.choice(world.facts)))
        position = 1 + rng.randbelow(len(sentences) - 1)
        opening = rng.choice(("In a book they read:", "On a wall stood:"))
        sentences.insert(position, f"{opening} {fact}")
    return format_text(register, sentences)


REGISTERS: Mapping[Writer, float] = {
    _encyclopedia: 0.18,
    _forum: 0.12,
    documents.entry: 0.09,
    _notes: 0.07,
    _general_text: 0.07,
    _how_to: 0.07,
    _reports: 0.05,
    documents.exercise: 0.05,
    _list: 0.04,
    documents.same_question: 0.04,
    documents.dictation: 0.04,
    documents.table: 0.03,
    _card: 0.02,
    _travel: 0.03,
    _sums: 0.03,
    _explanations: 0.03,
    _syntax: 0.02,
    _medical: 0.02,
}
