"""No acknowledged vote is lost and none is stored twice when the server is killed."""

import importlib
from pathlib import Path

import pytest

from tests.conftest import Figure, trials

BENCH = Path(__file__).parents[3] / "bench"


def test_kills_of_the_server_lose_and_repeat_no_vote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    monkeypatch.setenv("PYTHONPATH", str(BENCH.parent))
    label = importlib.import_module("label")
    found, _ = label.run_with_kills(
        tmp_path, annotators=trials(6, 50), votes=trials(20, 200), kills=trials(2, 10)
    )
    total = trials(6 * 20, 50 * 200)
    figure("acknowledged votes, retries", f"{found.acknowledged}, {found.retries}")
    assert (found.acknowledged, found.stored) == (total, total)
    assert (found.lost, found.duplicates, found.wrong_overlap) == (0, 0, 0)
    assert found.is_intact
    assert found.retries > 0, "no request was interrupted by a kill"
