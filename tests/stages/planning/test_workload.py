"""What is asked of a model, from rows of files."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests import small
from tests.preferences import make_pairs
from upbring.data.trees.tree import Branch, Tree
from upbring.settings.command_table import imported, verbs
from upbring.settings.methods.sft import SftSettings
from upbring.settings.resolve import Resolved, resolve
from upbring.stages.context import Cast
from upbring.stages.planning.dry_model import rehearsed
from upbring.stages.planning.workload import demanded, kinds, largest, looked_at, typical
from upbring.train import devices


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demand")
    small.make_model(folder / "m")
    small.make_demonstrations(folder / "d.jsonl")
    return folder


def cast(home: Path, **more: object) -> Cast:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UPBRING_CACHE", str(home / "cache"))
        values = {"model": str(home / "m"), "data": (home / "d.jsonl",), "threads": 1, **more}
        settings = SftSettings.model_validate({"precision": "float32", **values})
        return rehearsed("sft", Resolved(settings, {}), notice=lambda _: None)


def of(prompt: int, *branches: int) -> Tree:
    made = tuple(Branch(np.zeros(c, np.int32), np.ones(c, np.float32)) for c in branches)
    return Tree(np.zeros(prompt, np.int32), made, "")


def test_the_fullest_micro_batch_and_the_mean_step_are_found(home: Path) -> None:
    found = demanded(cast(home, step_examples=38, micro_tokens=100))
    whole = demanded(cast(home, step_examples=38))
    # every row is learned from in each step: its tokens are those of all micro-batches
    assert found.course.tokens == whole.course.tokens == whole.work.tokens
    assert found.course.rows == whole.work.rows
    assert whole.work.parts == 1
    assert found.work.parts >= whole.work.tokens / 100
    assert found.work.tokens <= 100


def test_answers_are_those_of_the_fixed_prompts(home: Path) -> None:
    plain = demanded(cast(home, sample_tokens=9))  # two rows are held out, and their prompts asked
    assert plain.course.words == 9
    assert plain.work.drawn == 2
    one = demanded(cast(home, sample_tokens=9, sample_prompts=("What is red?",)))
    assert one.work.drawn == 1
    assert one.work.sampled < plain.work.sampled


@pytest.mark.parametrize(("verb", "is_referred"), [("dpo", True), ("kto", True), ("orpo", False)])
def test_preferences_are_answered_and_a_reference_is_asked_once(
    home: Path, verb: str, *, is_referred: bool
) -> None:
    make_pairs(home / "p.jsonl")
    flags = {"model": str(home / "m"), "data": [str(home / "p.jsonl")], "sample_tokens": "9"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UPBRING_CACHE", str(home / "cache"))
        kind = imported(verbs()[verb].settings)
        asked = resolve(kind, section=verb, file=None, flags={**flags, "step_examples": "38"})
        found = demanded(rehearsed(verb, asked, notice=lambda _: None))
    # two rows are held out, and answered with 9 tokens each; an epoch is one step of all others
    assert found.course.held_waves == 9
    assert found.growth is not None
    assert found.growth.responses == 2
    assert found.course.once_tokens == (found.course.tokens if is_referred else 0)
    assert len(found.trees[0].branches) == (3 if verb == "kto" else 2)  # another prompt's, too


def test_products_are_kept_of_bfloat16_only_and_no_more_than_there_is_room_for(home: Path) -> None:
    trees = [of(3, 4), of(3, 4), of(9, 1)]
    assert kinds(cast(home), trees, 2) == 0
    half = cast(home, precision="bfloat16")
    assert half.machine.compute == torch.bfloat16
    assert kinds(half, trees, 2) == 2 * 30 + 2 * 6  # two batches, two lengths
    assert kinds(half, trees, 10_000) == devices.PRIMITIVES


def test_the_largest_group_and_the_typical_tree() -> None:
    assert largest([[of(3, 4), of(1, 1)], [of(2, 10)]]) == (12, 10)
    assert largest([]) == (0, 0)
    # (10² + 10² + 40²) / 60 = 30: a token lies in a tree of 30 on average
    trees = [of(5, 5), of(5, 5), of(20, 20)]
    assert typical(trees)[0] is trees[2]


def test_few_steps_are_all_looked_at() -> None:
    assert looked_at(1) == [0]
    assert looked_at(200) == list(range(200))
