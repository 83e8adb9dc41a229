"""Files of all kinds of responses become lines of scores, in order."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from tests.checking import write_rows
from tests.rankings import Lengths
from upbring.data.read.records import Comparison, Demonstration, Label, Message, Origin, Record
from upbring.stages.evaluation import score_file
from upbring.stages.evaluation.score_file import (
    ScoreSummary,
    format_lines,
    read_responses,
    score_records,
)

ORIGIN = Origin("x.jsonl", 3)
PROMPT = (Message("user", "sky?"),)


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"prompt": "p", "chosen": "a", "rejected": "b"}, Comparison),
        ({"prompt": "p", "responses": ["a", "b", "c"], "ranks": [2, 1, 1]}, Comparison),
        ({"prompt": "p", "completion": "a", "label": True}, Label),
        ({"prompt": "p", "response": "a"}, Demonstration),
    ],
)
def test_a_file_is_read_as_the_first_kind_that_fits(
    tmp_path: Path, row: dict[str, object], kind: type
) -> None:
    path = write_rows(tmp_path / "x.jsonl", [row] * 2)
    found = list(read_responses(path, log=lambda _: None))
    assert [type(each) for each in found] == [kind] * 2


def test_each_response_has_a_line_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_file, "ROWS_AT_ONCE", 2)
    records: list[Record] = [
        Comparison(PROMPT, ("aaa", ""), (1.0, 2.0), ORIGIN),
        Label(PROMPT, "bb", True, Origin("x.jsonl", 4)),  # noqa: FBT003 -- a record's field
        Demonstration((*PROMPT, Message("assistant", "c")), Origin("x.jsonl", 5)),
    ]
    found = [
        json.loads(line)
        for each in score_records(Lengths(), records)
        for line in format_lines(*each)
    ]
    assert [(r["row"], r["response"], r["text"], r["score"]) for r in found] == [
        ("x.jsonl:3", 0, "aaa", 3.0),
        ("x.jsonl:3", 1, "", None),
        ("x.jsonl:4", 0, "bb", 2.0),
        ("x.jsonl:5", 0, "c", 1.0),
    ]
    assert [r.get("rank") for r in found] == [1.0, 2.0, None, None]
    assert [r.get("is_good") for r in found] == [None, None, True, None]
    # σ(3), σ(2) and σ(1), from a table
    assert [r["logistic"] for r in found] == pytest.approx(
        [0.952574, None, 0.880797, 0.731059], abs=1e-6
    )


def test_the_summary_has_the_share_of_pairs_that_are_scored_as_ranked() -> None:
    summary = ScoreSummary()
    # 3 > 1 is right twice (ranks 1, 2, 2; tied ranks are not a pair)
    summary.add(
        Comparison(PROMPT, ("", "", ""), (1.0, 2.0, 2.0), ORIGIN), np.array([3.0, 1.0, 1.0])
    )
    summary.add(
        Comparison(PROMPT, ("", ""), (2.0, 1.0), ORIGIN), np.array([5.0, 5.0])
    )  # a tied score counts half
    summary.add(Comparison(PROMPT, ("", ""), (1.0, 2.0), ORIGIN), np.array([math.nan, 5.0]))
    first, unscored, accuracy = summary.format_lines()
    assert first == "6 responses of 3 rows scored: mean 3.333, standard deviation 1.795"
    assert unscored.startswith("1 response has no score: ")
    assert accuracy.startswith("83.3% (")
    assert accuracy.endswith(" of 3 pairs as ranked")


def test_the_summary_of_no_rows_is_one_line() -> None:
    assert ScoreSummary().format_lines() == ["0 responses of 0 rows scored"]
