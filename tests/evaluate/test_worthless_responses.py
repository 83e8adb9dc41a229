from upbring.evaluate.worthless_responses import (
    NUM_REPEATS,
    NUM_SPAM_WORDS,
    PROBE_KINDS,
    make_probe_responses,
)


def test_a_good_answer_gives_every_worthless_one() -> None:
    made = make_probe_responses("What is the capital?", "It is Paris.\n")
    assert set(made) == set(PROBE_KINDS)
    assert made["empty"] == ""
    assert made["truncated"] == "It"
    assert made["repeated"].count("It is Paris.") == NUM_REPEATS
    assert made["copied"] == "What is the capital?"
    assert len(made["spam"].split()) == NUM_SPAM_WORDS


def test_probes_that_cannot_be_made_are_omitted() -> None:
    assert set(make_probe_responses("Paris", "Paris")) == {
        "empty",
        "repeated",
        "spam",
    }  # no truncated and no copied response
