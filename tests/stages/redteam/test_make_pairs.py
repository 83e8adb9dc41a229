"""The pairs of a round are written once, with helpful ones for innocent requests."""

import json
from pathlib import Path

from tests.stages.redteam.hardening import make_settings
from upbring.settings.commands.harden import HardenSettings
from upbring.stages.evaluation.models import Log
from upbring.stages.redteam.harden import make_plan
from upbring.stages.redteam.make_pairs import COUNTS, DEMONSTRATIONS, PAIRS, make_pairs


def make(settings: HardenSettings, folder: Path, *, log: Log = print) -> int:
    return make_pairs(
        settings,
        folder,
        model=settings.model,
        train=make_plan(settings).train,
        families=("typos", "role"),
        number=1,
        log=log,
        poll=lambda: None,
    )


def test_a_model_that_never_refuses_gives_pairs_of_both_kinds(
    model_folder: Path, tmp_path: Path
) -> None:
    settings = make_settings(tmp_path, model_folder)
    logged: list[str] = []

    def run(folder: Path) -> int:
        return make(settings, folder, log=logged.append)

    found = run(tmp_path / "round-1")
    rows = [json.loads(line) for line in (tmp_path / "round-1" / PAIRS).read_text().splitlines()]
    assert found == len([row for row in rows if "can't help" in str(row["chosen"])])
    assert len([row for row in rows if "can't help" in str(row["rejected"])]) >= 1
    chosen = [row["chosen"][0]["content"] for row in rows]
    shown = (tmp_path / "round-1" / DEMONSTRATIONS).read_text().splitlines()
    assert [json.loads(line)["messages"][-1]["content"] for line in shown] == chosen
    arms = json.loads((tmp_path / "round-1" / COUNTS).read_text())
    assert arms["num_attempts"] == 2 * 2
    assert sum(each["tries"] for each in arms["arms"].values()) == 4
    before = (tmp_path / "round-1" / PAIRS).read_bytes()
    assert run(tmp_path / "round-1") == found
    assert (tmp_path / "round-1" / PAIRS).read_bytes() == before
    assert len(logged) <= 3  # the second call loads and says nothing


def test_the_ratio_says_how_many_innocent_requests_are_attacked(
    model_folder: Path, tmp_path: Path
) -> None:
    counts = []
    for ratio in (1.0, 6.0):
        settings = make_settings(tmp_path, model_folder, innocent_ratio=ratio)
        num_harmful = make(settings, tmp_path / f"{ratio}")
        counts.append(json.loads((tmp_path / f"{ratio}" / COUNTS).read_text()))
        assert counts[-1]["num_harmful"] == num_harmful
    assert counts[0]["num_harmful"] == counts[1]["num_harmful"] > 1
    assert counts[1]["num_innocent"] > 2 * counts[0]["num_innocent"]
