"""`upbring orpo` from the command line; what all preference methods share is in `test_dpo`."""

from pathlib import Path

import pytest

from tests.commands import curve, done, upbring
from tests.preferences import prepared, typed


def test_best_against_worst_and_pairs_are_learned(tmp_path: Path) -> None:
    prepared(tmp_path)
    for data, more in (("r.jsonl", ("--comparisons", "extremes")), ("p.jsonl", ())):
        answer = done(tmp_path, *typed("orpo", data), *more, "--steps", "2")
        assert "finished" in answer.err
    (*_, last) = curve(tmp_path / "runs" / "orpo-2")
    assert last["accuracy"] == pytest.approx(float(str(last["accuracy"])))


def test_it_does_not_learn_lists(tmp_path: Path) -> None:
    prepared(tmp_path)
    answer = upbring(tmp_path, *typed("orpo"), "--comparisons", "list")
    assert answer.code == 2
    assert "'list'" in answer.err
