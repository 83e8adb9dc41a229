"""The report on a finished reward model."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.checking import write_rows
from tests.rankings import Lengths
from upbring import durable
from upbring.data.read.records import Comparison, Message, Origin
from upbring.data.trees.merge_rankings import merge_by_prompt
from upbring.data.trees.tree import make_tree
from upbring.judge.reward_model import ResponseGroup, ScoreArray
from upbring.runs.data_file import DataFile
from upbring.runs.results import EvalResult, find_judge_quality, read_results
from upbring.runs.run_folder import Run
from upbring.runs.source_results import CONSENSUS, VOTES
from upbring.stages.reward_report import (
    MAX_PROBED_RANKINGS,
    MAX_RANKINGS,
    collect_probe_scores,
    read_held_out,
    score_rankings,
    write_report,
)
from upbring.tracking import no_tracking

ROWS = [
    {
        "prompt": f"q{i}",
        "chosen": "a long answer " * (1 + i % 3),
        "rejected": "no",
        "annotator": "x",
    }
    for i in range(30)
]


@pytest.fixture
def context(tmp_path: Path) -> Any:
    """Return what a report needs of a context: every third row of a file is held out."""
    path = write_rows(tmp_path / "r.jsonl", ROWS)
    trees = [make_tree([i], [1], [2], key=f"{path}:{i + 1}") for i in range(0, 30, 3)]
    messages: list[str] = []
    settings = SimpleNamespace(data=(path,), held_out=(), format="auto", skip_bad=None, seed=0)
    return SimpleNamespace(
        settings=settings,
        dataset=SimpleNamespace(held_out=merge_by_prompt(trees), files=()),
        poll=lambda: None,
        log=messages.append,
        track=no_tracking,
        messages=messages,
    )


def test_the_held_out_rows_are_those_that_were_not_trained_on(context: Any) -> None:
    found = list(read_held_out(context))
    assert [each.prompt[0].content for each in found] == [f"q{i}" for i in range(0, 30, 3)]
    context.dataset.held_out = ()
    assert list(read_held_out(context)) == []


def test_scores_metrics_and_a_verdict_are_written_and_logged(context: Any, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    write_report(context, Lengths(), Run(tmp_path))
    (tmp_path / "model").rename(tmp_path / "copied")  # without the run
    assert find_judge_quality(str(tmp_path / "copied")).verdict == "not measured"  # ten rankings
    rows = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert len(rows) == 20
    numbers = {each.name: each.value for each in read_results(tmp_path)}
    assert numbers["pair_accuracy"] == 1.0
    # it scores length only: a repeated answer beats the answer, an empty one has no score
    assert numbers["beaten_by_repeated"] == 1.0
    assert "beaten_by_empty" not in numbers
    assert "10 held-out rankings are too few to say" in " ".join(context.messages[:3])
    assert not any("repeated responses score above" in t for t in context.messages)


def test_the_results_beside_a_model_are_in_its_manifest(context: Any, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights").write_bytes(b"w")
    durable.seal(model, ["weights"])
    write_report(context, Lengths(), Run(tmp_path))
    assert durable.verify(model) == {"weights", "results.json"}
    (model / "results.json").write_text('{"results": []}')
    with pytest.raises(durable.Damaged, match=r"results.json: has \d+ bytes, but had"):
        find_judge_quality(str(tmp_path))


def test_the_agreement_of_the_votes_behind_the_file_is_the_ceiling(
    context: Any, tmp_path: Path
) -> None:
    votes = [
        EvalResult(VOTES, "annotators", "annotators", 3.0),
        EvalResult(VOTES, "annotators", "votes", 900.0),
        EvalResult(VOTES, "annotators", "agreement", 0.82, 0.5, 0.905, 300),
        EvalResult(VOTES, "annotators", "alpha", 0.6, 0.5, 0.7, 300, unit="alpha"),
    ]
    file = DataFile("r.jsonl", "s", 30, "preference", results=tuple(votes))
    context.dataset.files = (DataFile("other.jsonl", "s", 1, "preference"), file)
    write_report(context, Lengths(), Run(tmp_path))
    found = {each.name: each for each in read_results(tmp_path)}
    assert found["annotator_agreement"].value == 0.82
    assert found["annotator_agreement"].note == "900 votes of 3 annotators"
    assert (found["annotator_alpha"].value, found["annotator_alpha"].unit) == (0.6, "alpha")
    # p = (1 + √(2a − 1)) / 2 of 0.82, 0.5 and 0.905
    assert (found["ceiling"].value, found["ceiling"].low, found["ceiling"].high) == (0.9, 0.5, 0.95)
    assert any("ceiling" in line and "90.0 % (50.0 … 95.0)" in line for line in context.messages)
    figures = tuple(replace(each, note=CONSENSUS) for each in votes)
    context.dataset.files = (replace(file, results=figures),)
    write_report(context, Lengths(), Run(tmp_path))
    found = {each.name: each for each in read_results(tmp_path)}
    assert "ceiling" not in found  # a judge may meet the consensus more often than single votes
    assert found["votes_agreement"].value == 0.82


@pytest.mark.parametrize("who", ["ann", "synthetic-1", "synthetic annotators"])
def test_simulated_annotators_are_reported(context: Any, tmp_path: Path, who: str) -> None:
    write_rows(context.settings.data[0], [*ROWS[:3], {**ROWS[3], "annotator": who}, *ROWS[4:]])
    write_report(context, Lengths(), Run(tmp_path))
    is_simulated = who.startswith("synthetic")
    assert {each.is_synthetic for each in read_results(tmp_path)} == {is_simulated}
    assert any("by simulated annotators" in line for line in context.messages) == is_simulated


def test_without_a_preference_nothing_is_claimed(context: Any, tmp_path: Path) -> None:
    context.dataset.held_out = ()
    write_report(context, Lengths(), Run(tmp_path))
    assert read_results(tmp_path) == []
    assert (tmp_path / "scores.jsonl").read_text() == ""
    assert context.messages[0].startswith("reward model: no held-out ranking prefers a response")


class CountingLengths(Lengths):
    """Counts the responses of each group, which is one tree of the reward model."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def scores(
        self, groups: Sequence[ResponseGroup], *, poll: Callable[[], None] = lambda: None
    ) -> list[ScoreArray]:
        self.sizes += [len(each.responses) for each in groups]
        return super().scores(groups, poll=poll)


def test_responses_and_their_worthless_variants_are_scored_in_one_tree(
    context: Any, tmp_path: Path
) -> None:
    scorer = CountingLengths()
    write_report(context, scorer, Run(tmp_path))
    assert scorer.sizes == [2 + 5] * 10  # each prompt once


def test_of_many_held_out_rankings_a_sample_is_scored_and_so_it_is_said(
    context: Any, tmp_path: Path
) -> None:
    rows = [{**ROWS[i % 30], "prompt": f"q{i}"} for i in range(MAX_RANKINGS + 50)]
    path = write_rows(context.settings.data[0], rows)
    trees = [make_tree([i], [1], [2], key=f"{path}:{i + 1}") for i in range(len(rows))]
    context.dataset.held_out = merge_by_prompt(trees)
    scorer = CountingLengths()
    write_report(context, scorer, Run(tmp_path))
    assert len(scorer.sizes) == MAX_RANKINGS
    assert scorer.sizes.count(2 + 5) == MAX_PROBED_RANKINGS
    said = "a random sample of 200 of 250 held-out rankings, worthless responses on 100 of them"
    assert f"  measured on {said}" in context.messages
    numbers = {each.name: each.count for each in read_results(tmp_path)}
    assert (numbers["pair_accuracy"], numbers["beaten_by_repeated"]) == (200, 100)
    again: Any = SimpleNamespace(**{**vars(context), "messages": []})
    write_report(again, Lengths(), Run(tmp_path))
    assert [each.count for each in read_results(tmp_path)] == [*numbers.values()]


def test_worthless_variants_of_the_best_answer_are_scored(context: Any) -> None:
    record = Comparison(
        (Message("user", "what?"),), ("no", "so it is"), (2.0, 1.0), Origin("x.jsonl", 1)
    )
    records = [record, replace(record, responses=("", "x"))]
    found = collect_probe_scores(list(score_rankings(Lengths(), records, context)))
    assert found.good.tolist() == [8.0, 1.0]
    assert found.worthless["copied"].tolist() == [5.0, 5.0]  # "what?"
    assert found.worthless["truncated"][0] == 2.0  # "so"
    assert np.isnan(found.worthless["truncated"][1])  # one word cannot be truncated to half
    assert np.isnan(found.worthless["empty"]).all()
