"""Scores of reward models decide which item an annotator gets first."""

from pathlib import Path

import numpy as np
import pytest

from tests import small
from tests.rewarded import make_reward, scored
from tests.votes.stored import new_item
from upbring.errors import InputError
from upbring.feedback.select_items import score_disagreement, score_gap
from upbring.judge.reward_model import ResponseGroup
from upbring.settings.commands.label_votes import LabelSelectSettings
from upbring.stages.collection.select_votes import select_votes
from upbring.votes.records import NewVote
from upbring.votes.store import open_store


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a base model and two reward models on it."""
    folder = tmp_path_factory.mktemp("home")
    small.make_model(folder / "m")
    for seed in (0, 1):
        make_reward(folder / "m", folder / f"r{seed}", seed=seed)
    return folder


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    with open_store(tmp_path / "labels") as store:
        first, *_ = store.add_items([new_item(n, num_responses=3) for n in range(5)])
        ann = store.add_annotator("ann").annotator_id
        store.import_vote("k", ann, first, NewVote("ranked", (1, 2, 3)), at=0.0)
    return tmp_path / "labels"


def settings(labels: Path, how: str, *models: Path) -> LabelSelectSettings:
    return LabelSelectSettings(
        labels=labels,
        select=how,  # type: ignore[arg-type]  # checked by pydantic
        reward_models=tuple(map(str, models)),
        dtype="float32",
        threads=1,
    )


def first_item(labels: Path) -> int:
    with open_store(labels) as store:
        lease = store.take_item(store.add_annotator("bob").annotator_id)
    assert lease is not None
    return lease.item_id


@pytest.mark.parametrize("how", ["gap", "uncertain"])
def test_items_are_ordered_by_the_scores_of_plain_transformers(
    home: Path, labels: Path, how: str
) -> None:
    models = [home / "r0", home / "r1"]
    found = select_votes(settings(labels, how, *models), log=lambda _: None)
    with open_store(labels, read_only=True) as store:
        items = [item for item in store.items() if item.item_id != 1]
    groups = [ResponseGroup(i.prompt, tuple(r.text for r in i.responses)) for i in items]
    by_model = [scored(home / "m", model, groups) for model in models]
    measure = score_gap if how == "gap" else score_disagreement
    wanted = [measure(np.array(each)) for each in zip(*by_model, strict=True)]
    assert list(found) == [item.item_id for item in items]  # the voted one keeps its place
    assert list(found.values()) == pytest.approx(wanted, abs=1e-4)
    assert first_item(labels) == max(found, key=lambda item_id: found[item_id])


def test_a_random_order_follows_the_seed(labels: Path) -> None:
    found = select_votes(settings(labels, "random"), log=lambda _: None)
    assert found == select_votes(settings(labels, "random"), log=lambda _: None)
    assert first_item(labels) == max(found, key=lambda item_id: found[item_id])


def test_missing_items_and_models_are_reported(tmp_path: Path, labels: Path) -> None:
    with pytest.raises(InputError, match="there are no items; add some"):
        select_votes(settings(tmp_path / "none", "random"), log=lambda _: None)
    assert not (tmp_path / "none").exists()
    with pytest.raises(InputError, match="uncertain needs at least two reward models"):
        select_votes(settings(labels, "uncertain", tmp_path), log=lambda _: None)
