from pathlib import Path

import pytest

import upbring as ub
from tests.remote.scripted_server import serving
from tests.rewarded import make_reward


def test_rankings_are_collected(home: Path) -> None:
    make_reward(home / "m", home / "r")
    prompts = [{"prompt": f"What is {n}?"} for n in range(3)]
    rankings = ub.collect(
        "m", prompts, by="judge", judge="r", num_responses=2, max_tokens=4, threads=1
    )
    assert rankings == Path("collected/rankings.jsonl")
    assert rankings.is_file()
    assert ub.collect("m", prompts, max_tokens=4, threads=1, to="people") is None
    assert (home / "people" / "labels" / "votes.db").is_file()


def test_demonstrations_are_made_by_the_best_of_n_and_by_a_teacher(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    prompts = [{"prompt": f"What is {n}?"} for n in range(3)]
    with serving() as server:
        taught = ub.teacher(server.url, prompts)
        best = ub.best_of_n(server.url, prompts, judge="one_sentence", num_responses=2)
    for path in (taught, best):
        assert len((home / path).read_text().splitlines()) == 3
