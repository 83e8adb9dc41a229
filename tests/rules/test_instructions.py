import pytest

from upbring.rules.instructions import (
    Instruction,
    find_problem,
    is_loosely_followed,
    is_strictly_followed,
    loose_variants,
)

JSON = Instruction("detectable_format:json_format", {})
CAPITALS = Instruction(
    "change_case:capital_word_frequency", {"capital_relation": "less than", "capital_frequency": 1}
)


def test_loose_checks_ignore_the_first_and_last_line() -> None:
    wrapped = 'Sure, here it is:\n{"a": 1}\nAnything else?'
    assert is_strictly_followed(JSON, wrapped) is False
    assert is_loosely_followed(JSON, wrapped) is True
    assert is_loosely_followed(JSON, "no json\nat all") is False


def test_loose_checks_ignore_asterisks() -> None:
    ends = Instruction("startend:end_checker", {"end_phrase": "The end."})
    assert is_strictly_followed(ends, "**The end.**") is False
    assert is_loosely_followed(ends, "**The end.**") is True


def test_an_empty_response_follows_no_instruction() -> None:
    assert is_strictly_followed(CAPITALS, "plain") is True
    assert is_strictly_followed(CAPITALS, " \n") is False
    assert is_loosely_followed(CAPITALS, "") is False


def test_there_are_eight_loose_variants() -> None:
    assert list(loose_variants("a\n*b*\nc")) == [
        "a\n*b*\nc",
        "*b*\nc",
        "a\n*b*",
        "*b*",
        "a\nb\nc",
        "b\nc",
        "a\nb",
        "b",
    ]


def test_what_is_not_judged_strictly_is_not_judged_loosely() -> None:
    esperanto = Instruction("language:response_language", {"language": "eo"})
    assert is_strictly_followed(esperanto, "Saluton.") is None
    assert is_loosely_followed(esperanto, "Saluton.") is None


@pytest.mark.parametrize(
    ("kind", "details", "message"),
    [
        ("punctuation:no_comma", {}, None),
        (
            "combination:two_respones",
            {},
            (
                "'combination:two_respones' is not an IFEval instruction; "
                "did you mean combination:two_responses?"
            ),
        ),
        ("zebra", {}, "'zebra' is not an IFEval instruction; use one of its 25 instructions"),
        (
            "detectable_format:number_bullet_lists",
            {},
            "detectable_format:number_bullet_lists: num_bullets is None; give an integer",
        ),
        (
            "detectable_format:number_bullet_lists",
            {"num_bullets": True},
            "detectable_format:number_bullet_lists: num_bullets is True; give an integer",
        ),
        (
            "length_constraints:number_words",
            {"relation": "about", "num_words": 3},
            "length_constraints:number_words: relation is 'about'; use less than or at least",
        ),
    ],
)
def test_an_invalid_instruction_gets_a_message_with_what_to_do(
    kind: str, details: dict[str, object], message: str | None
) -> None:
    assert find_problem(Instruction(kind, details)) == message
