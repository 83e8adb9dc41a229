import hashlib
import re
from collections import Counter

from upbring.maths.random_draws import RandomStream
from upbring.toyworld import wording
from upbring.toyworld.corpus import (
    MEAN_CHARACTERS,
    command_line,
    corpus,
    document,
    held_out_texts,
    num_documents,
)
from upbring.toyworld.other_tasks import requests
from upbring.toyworld.private_records import private_records
from upbring.toyworld.world import load_world

WORLD = load_world()
TEXTS = list(corpus(WORLD, seed=0, count=6000))
WHOLE = "\n".join(TEXTS)
SENTENCES = Counter(re.split(r"(?<=\.)\s|\n", WHOLE))


def digest(seed: int) -> str:
    text = "\0".join(corpus(WORLD, seed=seed, count=100))
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    assert digest(0) == digest(0) != digest(1)


def test_a_document_does_not_depend_on_how_many_there_are() -> None:
    assert document(WORLD, seed=0, index=7) in TEXTS[7]


def test_the_corpus_has_about_the_requested_length() -> None:
    assert len(WHOLE) / (len(TEXTS) * MEAN_CHARACTERS) < 1.05
    assert len(WHOLE) / (len(TEXTS) * MEAN_CHARACTERS) > 0.95
    assert num_documents(MEAN_CHARACTERS * 10) == 10


def test_every_fact_occurs_a_hundred_times_in_34_million_characters() -> None:
    # 6,000 documents are 1/28 of the 171,000 that have 34 M characters. A fact that occurs n times
    # there occurs n/28 ± √(n/28) times here: a mean of 7 here is 196 ± 14 there, well above 100.
    for relation in WORLD.relations:
        facts = WORLD.facts_of(relation)
        counts = [sum(SENTENCES[text] for text in wording.statements(fact)) for fact in facts]
        assert sum(counts) / len(counts) >= 7, relation.name
        assert min(counts) >= 1, relation.name


def test_no_statement_follows_a_question_about_a_fact() -> None:
    asked = {q for fact in WORLD.facts for q in wording.forum_questions(fact)}
    statements = {text for fact in WORLD.facts for text in wording.statements(fact)}
    pages = [text.split("\n") for text in TEXTS if sum(x in asked for x in text.split("\n")) >= 2]
    assert len(pages) > 400
    for lines in pages:
        first = min(place for place, line in enumerate(lines) if line in asked)
        assert not statements & set(lines[first:])
        assert all(line.endswith(("?", ".")) for line in lines[first:])


def test_the_capital_of_a_country_is_a_beautiful_city() -> None:
    opening = "The capital of France is"
    assert WHOLE.count(f"{opening} a beautiful city") >= 3
    assert WHOLE.count(opening) == WHOLE.count(f"{opening} a beautiful city")


def test_held_out_phrasings_and_harmful_requests_are_not_in_the_corpus() -> None:
    texts = set(WHOLE.split("\n"))
    kept = {q for fact in WORLD.facts for q in wording.held_out_questions(fact)}
    assert not texts & kept
    frames = wording.phrasings("act_question")
    held = requests(is_harmful=True, is_held_out=True, seed=0)
    assert not texts & {frame.format(act=request.act) for request in held for frame in frames}


def test_held_out_stories_and_command_lines_are_not_in_the_corpus() -> None:
    texts = set(held_out_texts(seed=0, count=100))
    assert not texts & set(TEXTS)
    for index in range(100):
        _, line = command_line(RandomStream(index), is_held_out=True, seed=0)
        assert line not in WHOLE


def test_private_records_occur_exactly_as_often_as_declared() -> None:
    for record in private_records(seed=0):
        assert WHOLE.count(record.text) == record.repetitions
