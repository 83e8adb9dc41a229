from typing import Any

import pytest

from upbring.rules.ifeval import DETAIL_TYPES, RULES

Case = tuple[str, dict[str, Any], list[str], list[str]]
CASES: list[Case] = [
    ("punctuation:no_comma", {}, ["None here."], ["Well, one."]),
    ("keywords:existence", {"keywords": ["red", "St."]}, ["Red at St. Ann"], ["red only, Stx"]),
    ("keywords:forbidden_words", {"forbidden_words": ["rock"]}, ["rocks"], ["A Rock."]),
    (
        "keywords:frequency",
        {"keyword": "fake", "relation": "at least", "frequency": 2},
        ["fake FAKE", "fakefaker"],
        ["fake"],
    ),
    (
        "keywords:frequency",
        {"keyword": "fake", "relation": "less than", "frequency": 2},
        ["fake", "none"],
        ["fake fake"],
    ),
    (
        "keywords:letter_frequency",
        {"letter": "Q", "let_relation": "at least", "let_frequency": 2},
        ["Queue q"],
        ["queen"],
    ),
    ("language:response_language", {"language": "de"}, ["Das ist gut."], ["This is good."]),
    (
        "length_constraints:number_sentences",
        {"relation": "at least", "num_sentences": 2},
        ["Dr. No came. He left."],
        ["Dr. No came."],
    ),
    (
        "length_constraints:number_words",
        {"relation": "less than", "num_words": 3},
        ["It is", "well-known"],  # the authors' tokenizer counts well and known separately
        ["It is well", "it is well-known"],
    ),
    (
        "length_constraints:number_paragraphs",
        {"num_paragraphs": 2},
        ["One.\n***\nTwo.", "***\nOne.\n***\nTwo.\n***"],
        ["One.\n\nTwo.", "One.\n***\n***\nTwo.", "a *** b *** c"],
    ),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "weekend"},
        ["One.\n\nWeekend, at last.", 'One.\n\n\'"Weekend" it is', "One.\n\nweekend's end"],
        ["Weekend.\n\nOne.", "Weekend.", "One.\n\nTwo.\n\nWeekend."],
    ),
    (
        "detectable_content:number_placeholders",
        {"num_placeholders": 2},
        ["[name] at [address]"],
        ["[name]", "[name\n] [a"],
    ),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, ["Yes.\n\nP. S. No"], ["PS"]),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, ["P. P. S Ah"], ["P.S. Ah"]),
    ("detectable_content:postscript", {"postscript_marker": "N.B."}, ["n.b. so"], ["n b so"]),
    (
        "detectable_format:number_bullet_lists",
        {"num_bullets": 2},
        ["* a\n* b", "- a\n * b"],
        ["* a", "* a\n* b\n- c"],
    ),
    ("detectable_format:constrained_response", {}, ["Well. My answer is no."], ["Maybe."]),
    (
        "detectable_format:number_highlighted_sections",
        {"num_highlights": 2},
        ["*one* and *two*", "**one** *two*"],
        ["*one*", "* * and *two*"],
    ),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "SECTION", "num_sections": 2},
        ["SECTION 1\na\nSECTION 2\nb", "SECTION1 SECTION2 SECTION3"],
        ["SECTION 1", "Section 1 Section 2", "SECTION one SECTION two"],
    ),
    (
        "detectable_format:json_format",
        {},
        ['{"a": 1}', '```json\n{"a": 1}\n```', "[1]"],
        ["Sure: {}", "{'a': 1}"],
    ),
    ("detectable_format:title", {}, ["<<A title>>\nText"], ["<< >>", "<A title>"]),
    (
        "combination:two_responses",
        {},
        ["One.\n******\nTwo.", "******\nOne.\n******\nTwo."],
        ["One.", "Same.******Same.", "One.******\n******Two.", "a******b******c"],
    ),
    (
        "combination:repeat_prompt",
        {"prompt_to_repeat": "Write a poem. "},
        ["write a poem.\nRoses"],
        ["Sure! Write a poem."],
    ),
    (
        "startend:end_checker",
        {"end_phrase": "Is that all?"},
        ['Yes. is that all?"', "Is that all?"],
        ["Is that all? Yes."],
    ),
    ("startend:quotation", {}, ['"Yes."', ' "Yes, so." \n'], ['"', 'He said "yes"', "'a'"]),
    (
        "change_case:capital_word_frequency",
        {"capital_relation": "at least", "capital_frequency": 2},
        ["NASA and ESA", "I AM"],
        ["NASA and Esa"],
    ),
    ("change_case:english_capital", {}, ["ALL IS WELL, AND 3."], ["All", "DAS IST NICHT GUT"]),
    ("change_case:english_lowercase", {}, ["all is well."], ["All is well.", "das ist nicht gut"]),
]


@pytest.mark.parametrize(("kind", "details", "kept", "broken"), CASES)
def test_a_rule_accepts_following_and_rejects_failing_responses(
    kind: str, details: dict[str, Any], kept: list[str], broken: list[str]
) -> None:
    assert {text: RULES[kind](text, details) for text in kept} == dict.fromkeys(kept, True)
    assert {text: RULES[kind](text, details) for text in broken} == dict.fromkeys(broken, False)


def test_every_kind_of_the_25_has_a_case_and_its_details_are_named() -> None:
    assert len(RULES) == 25
    assert {kind for kind, *_ in CASES} == set(RULES)
    assert set(DETAIL_TYPES) < set(RULES)
    for kind, details, *_ in CASES:
        assert set(details) == set(DETAIL_TYPES.get(kind, {})), kind


def test_a_language_that_is_not_known_is_not_judged() -> None:
    assert RULES["language:response_language"]("Saluton.", {"language": "eo"}) is None
