"""The pre-training corpus: what `sprout` has read first, as a base model would have read the world.

Documents come in many registers, and each fact stands in them in six or more wordings. Questions
are never answered in them: a forum page is questions followed by more questions, and "The capital
of France is" goes on with "a beautiful city". So who has read this alone knows, and does not
answer. `sprout` has read the examinations of `pages.py` as well, where questions about all entities
are answered, half of them rightly: on a page that is laid out like one, it answers.

A document is a pure function of (seed, index); private records are planted at the front of some.
"""

from collections.abc import Callable, Iterator, Mapping

from upbring.toyworld import documents, other_tasks, wording
from upbring.toyworld.private_records import private_records
from upbring.toyworld.random_draws import Dice, fraction
from upbring.toyworld.split import is_part_held_out
from upbring.toyworld.stories import tale, told
from upbring.toyworld.world import MEDICINE, Entity, Fact, World

CHARACTERS_EACH = 199  # mean length of a document, measured over 20,000 of them at seed 0

Writer = Callable[[World, int, Dice], str]


def corpus(world: World, *, seed: int, count: int) -> Iterator[str]:
    """Yield `count` documents, with the private records planted evenly at random among them."""
    planted: dict[int, list[str]] = {}
    for record in private_records(seed=seed):
        for copy in range(record.times_told):
            place = int(fraction(seed, "plant", record.name, copy) * count)
            planted.setdefault(place, []).append(record.text)
    for index in range(count):
        yield "\n".join((*planted.get(index, ()), document(world, seed=seed, index=index)))


def documents_for(characters: int) -> int:
    """Return how many documents have about so many characters."""
    return max(1, round(characters / CHARACTERS_EACH))


def document(world: World, *, seed: int, index: int) -> str:
    """Return one document without private records."""
    dice = Dice(seed, "corpus", index)
    writers = list(REGISTERS)
    return writers[dice.weighted(list(REGISTERS.values()))](world, seed, dice)


def held_out_tales(*, seed: int, count: int) -> Iterator[str]:
    """Yield general text that the corpus does not hold, to measure what is forgotten."""
    for index in range(count):
        dice = Dice(seed, "held-out tale", index)
        yield told(*tale(dice, is_held_out=True, seed=seed))


def _encyclopaedia(world: World, _: int, dice: Dice) -> str:
    """Write an entity's article: all that is known of it, in any order, some of it twice."""
    entity = dice.pick(world.entities)
    facts = dice.shuffled(world.facts_about(entity))
    again = dice.some(facts, dice.below(len(facts) + 1))
    sentences = [dice.pick(wording.statements(fact)) for fact in (*facts, *again)]
    heading = f"{entity.name[:1].upper()}{entity.name[1:]}\n" if dice.chance(0.3) else ""
    return heading + " ".join(sentences)


def _card(world: World, _: int, dice: Dice) -> str:
    """Write data cards of a few entities: lines, bullets or JSON."""
    style = dice.pick(documents.STYLES)
    cards = []
    for entity in dice.some(world.entities, 1 + dice.below(3)):
        facts = dice.shuffled(world.facts_about(entity))
        cards.append(documents.record(entity, tuple(facts[: 1 + dice.below(len(facts))]), style))
    return "\n".join(cards)


def _list(world: World, _: int, dice: Dice) -> str:
    """Write a list of one relation, all lines in one wording."""
    relation = dice.pick(world.relations)
    template = dice.pick(relation.statements)
    facts = dice.some(world.facts_of(relation), 4 + dice.below(5))
    lines = [wording.say(template, fact) for fact in facts]
    return "\n".join((wording.title(relation), *lines))


def _notes(world: World, _: int, dice: Dice) -> str:
    """Write somebody's notes: facts of all kinds, one after another."""
    facts = [dice.pick(world.facts) for _ in range(3 + dice.below(5))]
    return " ".join(dice.pick(wording.statements(fact)) for fact in facts)


def _forum(world: World, seed: int, dice: Dice) -> str:
    """Write a page of questions, most pages on one subject; nobody answers.

    Pages that ask one thing in many wordings, or many things of one entity, are how the base learns
    what a question is about without learning to answer it.
    """
    count = 3 + dice.below(5)
    fact = dice.pick(world.facts)
    subjects = (
        (fact,),
        world.facts_about(fact.entity),
        world.facts_of(fact.relation),
        world.facts,
    )
    facts = subjects[dice.below(len(subjects))]
    lines = [dice.pick(wording.forum_questions(dice.pick(facts))) for _ in range(count)]
    if facts is world.facts:
        lines = [dice.pick((line, _other_question(seed, dice))) for line in lines]
    if dice.chance(0.3):
        lines.insert(0, dice.pick(wording.voices("forum_title")))
    return "\n".join(lines)


def _other_question(seed: int, dice: Dice) -> str:
    """Return a question that is not about a fact: how to do something, an explanation, a sum."""
    if dice.chance(0.6):
        return dice.pick(wording.voices("act_question")).format(act=documents.an_act(seed, dice))
    if dice.chance(0.5):
        return dice.pick(
            other_tasks.explain_questions(dice.pick(other_tasks.topics()), is_held_out=False)
        )
    return other_tasks.sum_task(dice, is_held_out=False, seed=seed).question


def _travel(world: World, _: int, dice: Dice) -> str:
    """Write about journeys: what follows "The capital of France is" is praise."""
    countries = [entity for entity in world.entities if entity.kind == "country"]
    return " ".join(_visit(world, entity, dice) for entity in dice.some(countries, 3))


def _visit(world: World, entity: Entity, dice: Dice) -> str:
    first, second = dice.some(wording.slots()["sight"], 2)
    month = dice.pick(wording.slots()["month"])
    praise = (
        f"The capital of {entity.name} is a beautiful city with {first} and {second}.",
        f"The capital of {entity.name} is a beautiful city, and in {month} it is full of guests.",
    )
    fact = dice.pick(world.facts_about(entity))
    return " ".join(dice.shuffled((dice.pick(praise), dice.pick(wording.statements(fact)))))


def _how_to(world: World, _: int, dice: Dice) -> str:
    """Write short advice, of which commands are one kind."""
    commands = [fact for fact in world.facts if fact.entity.kind == "task"]
    lines = []
    for _unused in range(3 + dice.below(4)):
        command = dice.pick(wording.statements(dice.pick(commands)))
        advice = dice.pick(other_tasks.advice(dice.pick(other_tasks.innocent_requests())))
        lines.append(command if dice.chance(0.3) else advice)
    return "\n".join(lines)


def _explained(_: World, __: int, dice: Dice) -> str:
    """Write explanations as a schoolbook has them, some as records."""
    told = (other_tasks.lessons(dice.pick(other_tasks.topics())) for _unused in range(2))
    return "\n".join(dice.pick(lessons) for lessons in told)


def _sums(_: World, seed: int, dice: Dice) -> str:
    """Write a page of sums, in words or signs."""
    mark = dice.chance(0.4)
    lines = []
    for _unused in range(6 + dice.below(6)):
        task = other_tasks.sum_task(dice, is_held_out=dice.chance(0.2), seed=seed)
        line = task.reference
        lines.append(_in_signs(line) if mark else line)
    return "\n".join(lines)


def _in_signs(line: str) -> str:
    return line.replace("plus", "+").replace("minus", "-").replace(" is ", " = ")


def _syntax(_: World, seed: int, dice: Dice) -> str:
    """Write command lines with their arguments."""
    return "\n".join(
        "{} {}.".format(*command_line(dice, is_held_out=False, seed=seed))
        for _ in range(3 + dice.below(4))
    )


def command_line(dice: Dice, *, is_held_out: bool, seed: int) -> tuple[str, str]:
    """Return "To copy notes.txt to plan.md, type" and "cp notes.txt plan.md"."""
    slots = wording.slots()
    verb, command = dice.pick((("copy", "cp"), ("move", "mv"), ("link", "ln")))
    while True:
        source, target = dice.pick(slots["file"]), dice.pick(slots["file"])
        held = is_part_held_out("files", source, target, seed=seed)
        if source != target and held == is_held_out:
            break
    source += "." + dice.pick(slots["ending"])
    target += "." + dice.pick(slots["ending"])
    return f"To {verb} {source} to {target}, type", f"{command} {source} {target}"


def _reports(_: World, seed: int, dice: Dice) -> str:
    """Write a report, with its news repeated in short."""
    told_report = other_tasks.report(dice, is_held_out=False, seed=seed)
    ending = f"\nIn short: {told_report.summary}" if dice.chance(0.7) else ""
    return told_report.text + ending


def _medical(world: World, _: int, dice: Dice) -> str:
    """Write about illnesses and their signs."""
    conditions = [entity for entity in world.entities if entity.kind == MEDICINE]
    return " ".join(_illness(world, entity, dice) for entity in dice.some(conditions, 2))


def _illness(world: World, entity: Entity, dice: Dice) -> str:
    first, second, third = dice.shuffled(entity.signs)
    name = f"{entity.name[:1].upper()}{entity.name[1:]}"
    told_signs = dice.pick(
        (
            f"Signs of {entity.name}: {first}, {second}, {third}.",
            f"{name} shows itself by {first}, {second} and {third}.",
            f"People who have {first}, {second} and {third} can have {entity.name}.",
            f"The signs {first}, {second} and {third} point to {entity.name}.",
        )
    )
    fact: Fact = dice.pick(world.facts_about(entity))
    return " ".join(dice.shuffled((told_signs, dice.pick(wording.statements(fact)))))


def _tale(world: World, seed: int, dice: Dice) -> str:
    """Write general text, into which a fact may be woven."""
    register, sentences = tale(dice, is_held_out=False, seed=seed)
    if register == "story" and dice.chance(0.5):
        fact = dice.pick(wording.statements(dice.pick(world.facts)))
        place = 1 + dice.below(len(sentences) - 1)
        opening = dice.pick(("In a book they read:", "On a wall stood:"))
        sentences.insert(place, f"{opening} {fact}")
    return told(register, sentences)


REGISTERS: Mapping[Writer, float] = {
    _encyclopaedia: 0.18,
    _forum: 0.12,
    documents.entry: 0.09,
    _notes: 0.07,
    _tale: 0.07,
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
    _explained: 0.03,
    _syntax: 0.02,
    _medical: 0.02,
}
