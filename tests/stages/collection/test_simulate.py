import json
from collections import Counter
from pathlib import Path

import pytest

from upbring.errors import InputError
from upbring.settings.commands.label import LabelSettings
from upbring.stages.collection.label import label_server
from upbring.stages.collection.simulate import simulate
from upbring.toyworld.annotators import annotators, task_with_candidates
from upbring.toyworld.tasks import as_row
from upbring.toyworld.world import World, load_world


@pytest.fixture(scope="module")
def world() -> World:
    return load_world()


def test_simulated_annotators_vote_through_the_api_as_they_would_rank(
    world: World, tmp_path: Path
) -> None:
    path = tmp_path / "answers.jsonl"
    tasks = [task_with_candidates(world, seed=0, index=index) for index in range(12)]
    rows = [
        {
            "prompt": [{"role": m.role, "content": m.content} for m in task.prompt],
            "responses": [*dict.fromkeys(texts)],
            "row": json.dumps(as_row(task)),
        }
        for task, texts in tasks
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = LabelSettings(responses=path, to=tmp_path / "labels", overlap=2, repeat_every=6)
    with label_server(settings, log=lambda _: None) as server:
        assert simulate(server, count=3, seed=0) == len(server.store.votes())
        votes = [vote for vote in server.store.votes() if not vote.is_repeat]
    assert set(Counter(vote.item_id for vote in votes).values()) == {2}
    assert len(votes) == 24
    assert all(vote.annotator.simulated for vote in votes)
    assert {vote.annotator.name for vote in votes} <= {a.name for a in annotators(seed=0)}
    agreed, pairs = 0, 0
    judge = annotators(seed=0)[0]
    for vote in votes:
        task, texts = tasks[vote.item_id - 1]
        distinct = [*dict.fromkeys(texts)]
        scores = [judge.score(task, text) for text in distinct]
        places = vote.vote.places
        assert places is not None
        best, worst = scores.index(max(scores)), scores.index(min(scores))
        agreed += places[best] < places[worst]
        pairs += 1
    assert agreed / pairs > 0.75  # the order on the page is undone: by chance it is a half


def test_other_prompts_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text('{"prompt": "q", "responses": ["a", "b"]}\n')
    settings = LabelSettings(responses=path, to=tmp_path / "labels")
    with (
        label_server(settings, log=lambda _: None) as server,
        pytest.raises(InputError, match="--simulate: the simulated annotators can only rank"),
    ):
        simulate(server, count=1, seed=0)
