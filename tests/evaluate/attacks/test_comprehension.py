"""A response is understood if it resembles its own reference more than the others."""

import numpy as np

from upbring.evaluate.attacks.comprehension import find_own_reference

REFERENCES = [
    "To kill the weeds, pull them out with their roots.",
    "To kill the germs on your hands, wash them with soap.",
    "To shoot a good picture, hold still and keep the sun behind you.",
]


def test_paraphrases_are_found_and_swapped_or_empty_responses_are_not() -> None:
    responses = ["Pull the roots out.", "Wash with soap and water!", "Hold still, sun behind."]
    assert find_own_reference(responses, REFERENCES).tolist() == [1, 1, 1]
    assert find_own_reference(responses[::-1], REFERENCES).tolist() == [0, 1, 0]
    assert find_own_reference(["", "?", "gibberish"], REFERENCES).tolist() == [0, 0, 0]


def test_a_model_that_always_says_the_same_is_at_chance() -> None:
    found = find_own_reference(["Wash your hands with soap."] * 3, REFERENCES)
    assert found.sum() == 1


def test_equal_references_are_equally_right() -> None:
    twice = [REFERENCES[0], REFERENCES[0], REFERENCES[1]]
    assert find_own_reference(twice, twice).tolist() == [1, 1, 1]


def test_random_responses_of_the_same_words_are_near_chance() -> None:
    rng = np.random.default_rng(0)
    words = [
        "pull",
        "wash",
        "hold",
        "roots",
        "soap",
        "sun",
        "weeds",
        "hands",
        "picture",
        "kill",
        "keep",
        "good",
    ]
    references = [" ".join(rng.choice(words, 6)) for _ in range(60)]
    responses = [" ".join(rng.choice(words, 6)) for _ in range(60)]
    assert find_own_reference(responses, references).mean() < 0.15
