import hashlib
import time
from collections import Counter
from pathlib import Path

import pytest

from upbring.errors import InputError
from upbring.feedback.principles import DEFAULT_FILE, MAX_BYTES, Constitution, read_principles

SMALL = """
conditions:
  health: {words: [pain, fever, New York]}
  law: {words: court}
  expert: {any: [health, law]}
  both: {all: [health, law]}
  plain: {not: expert}
principles:
  - id: kind
    text: Which answer is kinder?
    weight: 3
  - {id: careful, text: Which answer is careful?, when: [expert], topic: harmless}
  - id: light
    text: Which answer is lighter?
    when: [plain, both]
    critique: Find what is heavy.
    revision: Make it light.
    examples: [{prompt: Hi, better: Hello, worse: What}]
"""


ONE = "principles:\n- {id: a, text: x}\n"


def read(folder: Path, text: str) -> Constitution:
    path = folder / "principles.yaml"
    path.write_text(text, encoding="utf-8")
    return read_principles(path)


def ids(constitution: Constitution, prompt: str) -> set[str]:
    return {each.id for each in constitution.applicable(prompt)}


def test_a_file_is_read_with_its_hash(tmp_path: Path) -> None:
    found = read(tmp_path, SMALL)
    assert [p.id for p in found.principles] == ["kind", "careful", "light"]
    assert found.sha256 == hashlib.sha256(SMALL.encode()).hexdigest()
    light = found.principles[2]
    assert (light.critique_request, light.revision_request) == (
        "Find what is heavy.",
        "Make it light.",
    )
    assert "Which answer is kinder?" in found.principles[0].critique_request
    assert [(p.id, e.better) for p, e in found.examples()] == [("light", "Hello")]


def test_a_principle_applies_where_one_of_its_conditions_holds(tmp_path: Path) -> None:
    found = read(tmp_path, SMALL)
    assert ids(found, "My FEVER is high.") == {"kind", "careful"}
    assert ids(found, "Does new york have a zoo?") == {"kind", "careful"}
    assert ids(found, "A painful topic") == {"kind", "light"}  # whole words only
    assert ids(found, "Pain in court") == {"kind", "careful", "light"}


def test_draws_are_seeded_distinct_and_proportional_to_the_weights(tmp_path: Path) -> None:
    found = read(tmp_path, SMALL)
    draws = [found.draw("Hello", 0, i, count=1)[0].id for i in range(4000)]
    assert Counter(draws)["kind"] / 4000 == pytest.approx(0.75, abs=0.03)  # 3 of 3 + 1
    assert found.draw("Hello", 7, count=9) == found.draw("Hello", 7, count=9)
    assert len({each.id for each in found.draw("Hello", 7, count=9)}) == 2


def test_the_default_principles_are_valid_and_have_examples() -> None:
    found = read_principles()
    assert found.path == DEFAULT_FILE
    assert 28 <= len(found.principles) <= 40
    assert {p.topic for p in found.principles} == {"helpful", "honest", "harmless", "plain"}
    assert all(p.examples for p in found.principles)
    assert all(p.text.startswith("Which answer ") for p in found.principles)
    for principle, example in found.examples():
        assert principle in found.applicable(example.prompt), example.prompt


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "principles:\n- {id: a, text: x}\n- {id: b, text: y}\n- {id: a, text: z}\n",
            ":4: id 'a': given twice, first on line 2; rename one",
        ),
        (
            "conditions:\n  a: {any: [b]}\n  b: {not: c}\n  c: {all: [a]}\n" + ONE,
            ":4: conditions.c: refers to itself: a → b → c → a; remove it",
        ),
        (
            "conditions:\n  a: {any: [a]}\nprinciples:\n- {id: a, text: x}\n",
            ":2: conditions.a: refers to itself: a → a; remove it",
        ),
        (
            "conditions:\n  health: {words: [x]}\nprinciples:\n- {id: a, text: x, when: helth}\n",
            ":4: principles[0].when: no condition 'helth'; did you mean health?",
        ),
        (
            "conditions:\n  a: {any: [other]}\nprinciples:\n- {id: a, text: x}\n",
            ":2: conditions.a: no condition 'other'; define it",
        ),
        (
            "conditions:\n  a: {word: [other]}\nprinciples:\n- {id: a, text: x}\n",
            ":2: conditions.a: is no condition; write one of words",
        ),
        ("principles:\n- {id: a}\n", ":2: principles[0].text: is missing; write it"),
        ("principles:\n- {text: a}\n", ":2: principles[0].id: is missing; write it"),
        ("principles:\n- just text\n", ":2: principles[0]: not a mapping; write id: and text:"),
        (
            "principles:\n- {id: a, txt: b}\n",
            ":2: principles[0].txt: unknown key; did you mean text?",
        ),
        (
            "principles:\n- {id: a, text: b, weight: -1}\n",
            ":2: principles[0].weight: is '-1'; write a number above 0",
        ),
        (
            "principles:\n- {id: a, text: b, examples: [{prompt: x, better: y}]}\n",
            ":2: principles[0].examples.worse: is missing; write it",
        ),
        (f"principles:\n- id: a\n  text: {'x' * 2001}\n", ":3: principles[0].text: has 2,001 char"),
        ("principles: []\n", ":1: principles: no list of principles; write"),
        ("- a\n", ":1: principles: no list of principles; write"),
        ("principles:\n- !!python/name:os.system {id: a}\n", ":2: the tag "),
        ("principles:\n- {id: a\n", ": not valid YAML"),
    ],
)
def test_a_problem_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, text)
    assert message in str(error.value)
    assert str(error.value).startswith(str(tmp_path))


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, "principles:\n- {id: a}\n- {id: a, text: x, weight: none}\n")
    lines = str(error.value).splitlines()
    assert [line.split("yaml:")[1][0] for line in lines] == ["2", "3", "3"]


def test_ten_megabytes_are_refused_at_once(tmp_path: Path) -> None:
    start = time.process_time()
    with pytest.raises(
        InputError, match=f"larger than {MAX_BYTES:,} bytes; give a principles file"
    ):
        read(tmp_path, "principles:\n- id: a\n  text: " + "x" * 10_000_000)
    assert time.process_time() - start < 1


def test_thousands_of_principles_are_read_and_drawn_from_quickly(tmp_path: Path) -> None:
    text = SMALL + "".join(
        f"  - {{id: p{i}, text: Which answer is better in respect {i}?, when: [expert]}}\n"
        for i in range(3000)
    )
    start = time.process_time()
    found = read(tmp_path, text)
    assert len(found.principles) == 3003
    for i in range(20):
        found.draw("My fever", i, count=1)
    assert time.process_time() - start < 8  # 1.5 s where it was written
