import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests import small
from upbring import durable
from upbring.data.read import formats
from upbring.data.read.records import Comparison
from upbring.errors import InputError
from upbring.runs.results import JudgeQuality
from upbring.runs.source_results import read_source_results
from upbring.settings.commands.collect import CollectSettings
from upbring.stages.collection.collect import AnsweredPrompt, collect, rankings_waiting_text
from upbring.stages.collection.people import stored_overlap
from upbring.votes.assignment import AssignmentRules
from upbring.votes.records import NewVote
from upbring.votes.store import open_store


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    small.make_model(folder / "m")
    rows = [{"prompt": f"What is the {thing} like?"} for thing in small.THINGS]
    (folder / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def collect_settings(home: Path, **more: Any) -> CollectSettings:
    given = {
        "max_tokens": 6,
        "num_responses": 3,
        "limit": 5,
        "threads": 1,
        "dtype": "float32",
        **more,
    }
    return CollectSettings(model=str(home / "m"), prompts=(home / "p.jsonl",), **given)


def by_length(some: Sequence[AnsweredPrompt]) -> list[tuple[int, ...]]:
    return [
        tuple(sorted({len(a) for a in each.answers}).index(len(a)) + 1 for a in each.answers)
        for each in some
    ]


def test_rankings_are_what_a_reward_model_reads(home: Path, tmp_path: Path) -> None:
    path = collect(
        collect_settings(home),
        tmp_path / "c",
        ranker=by_length,
        annotator="length",
        log=lambda _: None,
    )
    assert path is not None
    found = list(formats.read_records(path, Comparison))
    assert 0 < len(found) <= 5
    assert {each.annotator for each in found} == {"length"}
    for each in found:
        assert len(set(each.ranks)) > 1
        best = each.responses[each.ranks.index(1)]
        assert len(best) == min(map(len, each.responses))


def test_the_same_seed_samples_the_same_answers(home: Path, tmp_path: Path) -> None:
    texts = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        settings = collect_settings(home, seed=seed)
        collect(settings, tmp_path / name, ranker=by_length, annotator="x", log=lambda _: None)
        texts.append((tmp_path / name / "answers.jsonl").read_text())
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


def test_rankings_by_a_judge_have_its_quality_beside_them(home: Path, tmp_path: Path) -> None:
    quality = JudgeQuality("rm", "use with care", "right on 61.0 % of 200 held-out pairs")
    config, folder = collect_settings(home), tmp_path / "c"
    path = collect(
        config, folder, ranker=by_length, annotator="rm", log=lambda _: None, quality=quality
    )
    assert path is not None
    (figure,) = read_source_results(path, durable.sha256_file(path), log=lambda _: None)
    assert figure.judge == quality


def test_a_file_of_rankings_in_the_folder_is_used(home: Path, tmp_path: Path) -> None:
    settings, folder = collect_settings(home), tmp_path / "c"
    assert collect(settings, folder, ranker=None, annotator="people", log=lambda _: None) is None
    rows = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    (folder / "rankings.jsonl").write_text(
        json.dumps({**rows[0], "ranks": [*range(1, len(rows[0]["responses"]) + 1)]}) + "\n"
    )
    path = collect(settings, folder, ranker=None, annotator="people", log=lambda _: None)
    assert path == folder / "rankings.jsonl"


def test_people_vote_in_a_store_and_their_rankings_are_read(home: Path, tmp_path: Path) -> None:
    settings, folder = collect_settings(home, overlap=2), tmp_path / "c"
    assert collect(settings, folder, ranker=None, annotator="people", log=lambda _: None) is None
    answers = (folder / "answers.jsonl").read_bytes()
    rules = AssignmentRules(stored_overlap(folder / "labels") or 0)
    with open_store(folder / "labels", rules=rules) as store:
        for name in ("Ann", "Bob"):
            annotator_id = store.add_annotator(name).annotator_id
            while (lease := store.take_item(annotator_id)) is not None:
                text = rankings_waiting_text(settings, folder)
                assert "items are ranked; open the page with `upbring label --to" in text
                places = tuple(range(1, len(lease.order) + 1))
                key = f"{name}{lease.item_id}"
                store.submit(key, annotator_id, lease.item_id, NewVote("ranked", places))
            path = collect(settings, folder, ranker=None, annotator="people", log=lambda _: None)
            assert (path is None) == (name == "Ann"), "also while a server has the store open"
    assert (folder / "answers.jsonl").read_bytes() == answers
    found = list(formats.read_records(folder / "rankings.jsonl", Comparison))
    assert {each.annotator for each in found} == {"Ann", "Bob"}
    rankings = folder / "rankings.jsonl"
    figures = read_source_results(rankings, durable.sha256_file(rankings), log=lambda _: None)
    assert {each.name: each.value for each in figures}["agreement"] == 1.0
    assert all(each.ranks[0] == 1 for each in found)


def test_a_model_that_always_gives_the_same_answer_is_refused(home: Path, tmp_path: Path) -> None:
    settings = collect_settings(home, temperature=0)
    with pytest.raises(InputError, match="raise temperature"):
        collect(settings, tmp_path / "c", ranker=by_length, annotator="x", log=lambda _: None)
