from upbring.evaluate.worthless_responses import KINDS, NUM_REPEATS, NUM_SPAM, probe_answers


def test_a_good_answer_gives_every_worthless_one() -> None:
    made = probe_answers("What is the capital?", "It is Paris.\n")
    assert set(made) == set(KINDS)
    assert made["empty"] == ""
    assert made["truncated"] == "It"
    assert made["repeated"].count("It is Paris.") == NUM_REPEATS
    assert made["copied"] == "What is the capital?"
    assert len(made["spam"].split()) == NUM_SPAM


def test_what_cannot_be_made_is_left_out() -> None:
    assert set(probe_answers("Paris", "Paris")) == {"empty", "repeated", "spam"}  # no half, no copy
