"""Rollouts drawn, noted, written down and shared."""

import numpy as np
import pytest
import torch

from tests import tolerances
from tests.algorithms.acting import PROMPTS, STOPS, made, settings, text
from upbring.algorithms.grpo import Grpo
from upbring.algorithms.rollout_batch import (
    RoleModel,
    annotated,
    exchanged,
    flatten_rollouts,
    grown,
    make_rollouts,
    noted,
    regrown,
    sample_rollouts,
)
from upbring.data.trees.batch import make_batch
from upbring.data.trees.tree import Tree
from upbring.maths import counter_rng
from upbring.model.score import score_tokens
from upbring.settings.methods.grpo import GrpoSettings


def voice() -> RoleModel:
    ours, _ = made(Grpo, settings(GrpoSettings))
    return ours.roles.policy


def some(count: int = 2, *, prompts: list[Tree] | None = None) -> list[Tree]:
    """Return `count` responses to each prompt, drawn by keys of the prompt's row."""
    asked = PROMPTS if prompts is None else prompts
    keys = [tuple(counter_rng.key(p.key, s) for s in range(count)) for p in asked]
    return sample_rollouts(
        voice(), asked, keys, max_tokens=6, stop_token_ids=STOPS, poll=lambda: None
    )


def test_a_rollout_depends_on_its_own_prompt_and_key_alone() -> None:
    together = some()
    alone = [some(prompts=[prompt])[0] for prompt in PROMPTS]
    for one, other in zip(together, alone, strict=True):
        for branch, same in zip(one.branches, other.branches, strict=True):
            assert branch.tokens.tolist() == same.tokens.tolist()


def test_what_was_drawn_has_the_probability_that_score_gives_it() -> None:
    trees = some()
    batch = make_batch(trees)
    speaker = voice()
    with torch.no_grad(), speaker.active():
        scored = score_tokens(speaker.model, batch).logprobs
    assert float((scored - batch.per_token["sampled"]).abs().max()) < tolerances.SAMPLED


def test_a_response_has_ended_if_a_stop_token_came() -> None:
    for each in make_rollouts(some(), STOPS, text().decode):
        assert each.has_ended == (each.tokens[-1] in STOPS)
        assert len(each.tokens) == 6 or each.has_ended
        said = each.tokens[:-1] if each.has_ended else each.tokens
        assert each.text == " ".join(map(str, said))
        assert each.prompt_text == " ".join(map(str, each.prompt))


def test_rollouts_are_trees_again_with_their_prompt_once() -> None:
    trees = some()
    again = list(regrown(make_rollouts(trees, STOPS, text().decode)))
    assert [len(tree.branches) for tree in again] == [2] * len(PROMPTS)
    assert torch.equal(make_batch(again).tokens, make_batch(trees).tokens)
    twice = [PROMPTS[0], PROMPTS[0]]  # a prompt that comes twice is two trees
    both = make_rollouts(some(prompts=twice), STOPS, text().decode)
    assert sum(len(tree.branches) for tree in regrown(both)) == 4


@pytest.mark.parametrize("budget", [1, 20, 10_000])
def test_notes_come_back_to_the_tokens_that_they_are_about(budget: int) -> None:
    speaker, trees = voice(), some()
    found = noted(speaker.model, trees, budget, lambda batch: {"token": batch.target})
    for tree in found:
        for branch in tree.branches:
            assert branch.per_token["token"].tolist() == branch.tokens.tolist()
            assert "sampled" in branch.per_token


def test_what_is_written_down_is_what_is_read_bit_for_bit() -> None:
    trees = annotated(some(), facts={"reward": torch.arange(12.0) / 7})
    again = grown(PROMPTS, flatten_rollouts(trees))
    one, other = flatten_rollouts(trees), flatten_rollouts(again)
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert array.dtype == other[name].dtype
        assert np.array_equal(array, other[name]), name
    assert [tree.key for tree in again] == [tree.key for tree in PROMPTS]


def test_nothing_drawn_is_nothing_written() -> None:
    assert grown([], flatten_rollouts([])) == []


def test_alone_a_process_keeps_what_it_has_drawn() -> None:
    trees = some()
    assert exchanged(PROMPTS, range(len(PROMPTS)), trees) == trees
