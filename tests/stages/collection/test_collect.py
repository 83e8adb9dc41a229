import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests import small
from upbring.data.read import formats
from upbring.data.read.records import Comparison
from upbring.errors import InputError
from upbring.settings.commands.collect import CollectSettings
from upbring.stages.collection.collect import AnsweredPrompt, collect, rankings_waiting_text


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


def test_people_get_a_page_and_their_file_is_used(home: Path, tmp_path: Path) -> None:
    settings, folder = collect_settings(home), tmp_path / "c"
    assert collect(settings, folder, ranker=None, annotator="people", log=lambda _: None) is None
    assert "rank.html" in rankings_waiting_text(folder)
    assert (folder / "rank.html").is_file()
    answers = (folder / "answers.jsonl").read_bytes()
    assert collect(settings, folder, ranker=None, annotator="people", log=lambda _: None) is None
    assert (folder / "answers.jsonl").read_bytes() == answers
    rows = [json.loads(line) for line in answers.splitlines()]
    (folder / "rankings.jsonl").write_text(
        json.dumps({**rows[0], "ranks": [*range(1, len(rows[0]["responses"]) + 1)]}) + "\n"
    )
    path = collect(settings, folder, ranker=None, annotator="people", log=lambda _: None)
    assert path == folder / "rankings.jsonl"


def test_a_model_that_always_gives_the_same_answer_is_refused(home: Path, tmp_path: Path) -> None:
    settings = collect_settings(home, temperature=0)
    with pytest.raises(InputError, match="raise temperature"):
        collect(settings, tmp_path / "c", ranker=by_length, annotator="x", log=lambda _: None)
