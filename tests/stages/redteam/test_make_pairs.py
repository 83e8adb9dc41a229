"""The pairs of a round are written once, with helpful ones for innocent requests."""

import json
from pathlib import Path

from tests.stages.redteam.hardening import make_settings
from upbring.stages.redteam.harden import make_plan
from upbring.stages.redteam.make_pairs import COUNTS, DEMONSTRATIONS, PAIRS, make_pairs


def test_a_model_that_never_refuses_gives_pairs_of_both_kinds(
    model_folder: Path, tmp_path: Path
) -> None:
    settings = make_settings(tmp_path, model_folder)
    logged: list[str] = []

    def run(folder: Path) -> int:
        return make_pairs(
            settings,
            folder,
            model=str(model_folder),
            train=make_plan(settings).train,
            families=("typos", "role"),
            number=1,
            log=logged.append,
            poll=lambda: None,
        )

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
