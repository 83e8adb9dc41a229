from upbring.maths.random_draws import RandomStream
from upbring.toyworld.split import is_part_held_out
from upbring.toyworld.stories import format_text, general_text


def test_blanks_are_filled_and_sentences_begin_with_capitals() -> None:
    for index in range(200):
        _, sentences = general_text(RandomStream(0, index), is_held_out=False, seed=0)
        assert not any("{" in sentence for sentence in sentences)
        assert all(not sentence[0].islower() for sentence in sentences)


def test_stories_run_on_and_notices_keep_their_lines() -> None:
    assert format_text("story", ["A.", "B."]) == "A. B."
    assert format_text("notice", ["A.", "B."]) == "A.\nB."


def test_a_held_out_story_has_a_person_and_a_place_that_no_other_combines() -> None:
    texts = [
        " ".join(general_text(RandomStream(1, i), is_held_out=True, seed=0)[1]) for i in range(50)
    ]
    shown = [
        " ".join(general_text(RandomStream(1, i), is_held_out=False, seed=0)[1]) for i in range(50)
    ]
    assert not set(texts) & set(shown)
    assert 0.1 < sum(is_part_held_out("tale", i, "x", seed=0) for i in range(500)) / 500 < 0.3
