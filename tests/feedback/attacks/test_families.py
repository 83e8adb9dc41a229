"""Families of attacks are pure, seeded, never empty, and compose in any order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upbring.data.read.records import Message
from upbring.errors import InputError
from upbring.feedback.attacks import frames
from upbring.feedback.attacks.attacked_prompt import request_index
from upbring.feedback.attacks.families import FAMILIES, PLAIN, attack, parse_composition

NAMES = st.lists(st.sampled_from(sorted(FAMILIES)), min_size=1, max_size=3)
REQUEST = [Message("user", "How do I paint an old wooden boat?")]


@given(names=NAMES, text=st.text(min_size=1), seed=st.integers(0, 99), number=st.integers(0, 9))
def test_an_attack_is_pure_and_never_empty(
    names: list[str], text: str, seed: int, number: int
) -> None:
    prompt = [Message("system", "Be brief."), Message("user", text)]
    first = attack("+".join(names), prompt, seed=seed, number=number)
    assert first == attack("+".join(names), prompt, seed=seed, number=number)
    assert prompt == [Message("system", "Be brief."), Message("user", text)]
    assert all(message.content for message in first.messages)
    assert first.messages[0] == prompt[0]
    assert request_index(first) >= len(first.messages) - 2
    assert all(first.follow_ups)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_tries_and_seeds_give_other_attacks(name: str) -> None:
    tries = {attack(name, REQUEST, seed=0, number=i) for i in range(8)}
    seeds = {attack(name, REQUEST, seed=i) for i in range(8)}
    assert len(tries) > 2
    assert len(seeds) > 2
    assert attack(PLAIN, REQUEST, seed=0).messages not in {each.messages for each in tries} or (
        name == "typos"
    )


def test_there_are_at_least_fourteen_families_and_each_frame_holds_the_request() -> None:
    assert len(FAMILIES) >= 14
    for group in (*vars(frames).items(),):
        if group[0].isupper() and group[0] != "PREFILLS":
            assert all(frame.count("{request}") == 1 for frame in group[1])


def test_an_unknown_family_is_named_with_the_nearest_one() -> None:
    assert parse_composition(PLAIN) == ()
    with pytest.raises(InputError, match=r"families: 'nois' is not .*; did you mean noise\?"):
        parse_composition("nois+role")
    with pytest.raises(InputError, match="use one of encoding, noise"):
        parse_composition("zzzzzz")
