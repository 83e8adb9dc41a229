"""`upbring kto` from the command line; what all preference methods share is in `test_dpo`."""

from pathlib import Path

import pytest

from tests.commands import curve, done, upbring
from tests.preferences import prepared, typed


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("home"))


@pytest.mark.parametrize("data", ["l.jsonl", "p.jsonl", "r.jsonl"])
def test_labels_pairs_and_rankings_are_learned(home: Path, data: str) -> None:
    answer = done(home, *typed("kto", data), "--name", data.removesuffix(".jsonl"))
    steps = [e for e in curve(home / "runs" / data.removesuffix(".jsonl")) if e["kind"] == "train"]
    assert float(str(steps[0]["loss"])) == pytest.approx(0.5, abs=1e-6)
    assert all("kl_estimate" in each for each in steps)
    assert ("good and" in answer.err) == (data == "l.jsonl")  # of pairs both are as many


def test_an_imbalance_is_logged_with_a_remedy(home: Path) -> None:
    lines = (home / "l.jsonl").read_text().splitlines(keepends=True)
    (home / "bad.jsonl").write_text("".join(lines[1::2] + lines[::8]))  # 20 bad, 5 good
    words = (*typed("kto", "bad.jsonl"), "--held-out-share", "0", "--steps", "1")
    answer = done(home, *words)
    assert "kto: 5 good and 20 bad responses" in answer.err
    assert "with undesirable_weight 1, set desirable_weight to 4\n" in answer.err
    quiet = done(home, *words, "--desirable-weight", "4")
    assert "responses: desirable_weight" not in quiet.err


def test_what_is_no_preference_is_refused(home: Path) -> None:
    answer = upbring(home, "kto", "d.jsonl", "--model", "m")
    assert answer.code == 2
    assert "d.jsonl: is in the format messages" in answer.err
