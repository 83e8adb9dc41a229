"""Iterated rounds: sample, rank by simulated annotators, train, and sample from the new model."""

import json
from pathlib import Path

import pytest

from tests import small
from tests.commands import QUICK, upbring
from tests.conftest import IS_NIGHTLY
from upbring.data.read.formats import read_records
from upbring.data.read.records import Comparison, is_synthetic
from upbring.toyworld.annotators import task_with_candidates
from upbring.toyworld.tasks import as_row
from upbring.toyworld.world import load_world


@pytest.mark.skipif(not IS_NIGHTLY, reason="nightly: samples and trains twice")
def test_votes_of_one_round_train_the_model_that_the_next_one_samples_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.make_model(tmp_path / "m")
    monkeypatch.setenv("UPBRING_CACHE", str(tmp_path / "cache"))
    world = load_world()
    tasks = [task_with_candidates(world, seed=0, index=index)[0] for index in range(4)]
    rows = "".join(json.dumps(as_row(task)) + "\n" for task in tasks)
    (tmp_path / "p.jsonl").write_text(rows)
    sampled = []
    for number, model in ((1, "m"), (2, "runs/round-1")):
        labels, pairs = f"labels-{number}", f"pairs-{number}.jsonl"
        words = ("--models", model, "--to", labels, "--simulate", "2", "--overlap", "2")
        words += ("--num-responses", "2", "--max-tokens", "4", "--dtype", "float32")
        answer = upbring(tmp_path, "label", "p.jsonl", *words, "--threads", "1")
        assert answer.code == 0, answer.err
        answer = upbring(tmp_path, "label", "export", labels, "--method", "dpo", "--to", pairs)
        assert answer.code == 0, answer.err
        records = list(read_records(tmp_path / pairs, Comparison))
        assert {record.probability for record in records} <= {0.5, 1.0}  # of two votes
        row = json.loads((tmp_path / pairs).read_text().splitlines()[0])
        assert all(is_synthetic(name) for name in row["annotators"])
        words = (pairs, "--model", model, "--name", f"round-{number}", "--max-length", "512")
        answer = upbring(tmp_path, "dpo", *words, *QUICK)
        assert answer.code == 0, answer.err
        sampled.append({text for record in records for text in record.responses})
    assert sampled[0] != sampled[1]
