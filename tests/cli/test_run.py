import json
import re
from pathlib import Path

import pytest

from tests import small
from tests.commands import done, upbring

RECIPE = """
model: m
defaults: {steps: 1, batch_size: 2, dtype: float32, threads: 1, sample_tokens: 2}
stages:
  sft: {data: d.jsonl}
ask: ["What is snow like?"]
evaluate: {data: q.jsonl, suite: facts, max_tokens: 4, threads: 1}
gates: {facts: "<= 1"}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    small.make_model(tmp_path / "m")
    small.make_demonstrations(tmp_path / "d.jsonl", 8)
    rows = [
        {"prompt": f"What is the {thing} like{when}?", "answer": "blue"}
        for when in ("", " now", " then")
        for thing in small.THINGS
    ]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "pipeline.yaml").write_text(RECIPE)
    return tmp_path


def test_a_pipeline_runs_to_its_report(home: Path) -> None:
    output = done(home, "run", "pipeline.yaml").err
    assert "base answers:" in output
    assert "sft answers:" in output
    assert "gate facts <= 1: passed" in output
    (folder,) = (home / "runs").iterdir()
    assert re.fullmatch(r"pipeline-[0-9a-f]{8}", folder.name)
    assert f"report: runs/{folder.name}/report.html" in output
    assert f"chat with it: upbring chat runs/{folder.name}/stages/sft" in output
    assert "toy world" not in output  # the data is the user's
    for name in ("report.html", "report.json", "gates.json", "recipe.json", "recipe.yaml"):
        assert (folder / name).is_file()
    assert json.loads((folder / "recipe.json").read_text())["status"] == "finished"
    assert "sft: finished before, kept" in done(home, "run", "pipeline.yaml").err


def test_two_recipes_of_one_name_share_nothing(home: Path) -> None:
    done(home, "run", "pipeline.yaml")
    (home / "other").mkdir()
    (home / "other" / "pipeline.yaml").write_text(
        "model: m\ndefaults: {steps: 1, batch_size: 2, dtype: float32, threads: 1}\n"
        "stages:\n  sft: {data: d.jsonl}\n"
    )
    done(home, "run", "other/pipeline.yaml")
    folders = sorted((home / "runs").iterdir())
    assert len(folders) == 2
    reports = [json.loads((folder / "report.json").read_text()) for folder in folders]
    assert sorted(len(report["results"]) > 0 for report in reports) == [False, True]
    assert sorted(len(report["gates"]) for report in reports) == [0, 1]


def test_a_changed_recipe_does_not_show_what_the_old_one_measured(home: Path) -> None:
    done(home, "run", "pipeline.yaml", "--to", "out")
    before = json.loads((home / "out" / "report.json").read_text())
    assert {each["suite"] for each in before["results"]} == {"facts", "contamination"}
    assert before["gates"]
    small.make_model(home / "m", seed=3)
    changed = RECIPE.replace("q.jsonl, suite: facts", "p.jsonl, suite: preference")
    (home / "pipeline.yaml").write_text(changed.partition("gates:")[0])
    rows = [{"prompt": f"Say {thing}."} for thing in small.THINGS]
    (home / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done(home, "run", "pipeline.yaml", "--to", "out")
    after = json.loads((home / "out" / "report.json").read_text())
    assert {each["suite"] for each in after["results"]} == {"preference", "contamination"}
    assert after["gates"] == []
    (home / "pipeline.yaml").write_text(changed.partition("evaluate:")[0])
    done(home, "run", "pipeline.yaml", "--to", "out")
    last = json.loads((home / "out" / "report.json").read_text())
    assert (last["results"], last["sides"], last["gates"]) == ([], [], [])


def test_a_failed_gate_has_its_own_exit_code_and_the_report_is_there(home: Path) -> None:
    (home / "pipeline.yaml").write_text(RECIPE.replace('"<= 1"', '">= 1"'))
    answer = upbring(home, "run", "pipeline.yaml", "--to", "strict")
    assert answer.code == 6
    assert answer.err.splitlines()[-1] == (
        "strict: 1 of 1 gate did not pass (facts); see strict/report.html"
    )
    assert (home / "strict" / "report.html").is_file()


def test_a_dry_run_shows_the_stages_and_does_nothing(home: Path) -> None:
    output = done(home, "run", "pipeline.yaml", "--dry-run").err
    assert "sft: sft" in output
    assert not (home / "runs").exists()


def test_on_a_terminal_there_is_a_live_view(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as a terminal does
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    first = done(home, "run", "pipeline.yaml", "--to", "shown").err
    plain = re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", first)
    assert "· evaluate: base, sft" in plain
    assert "▶ sft: sft ━━" in plain
    assert re.search(r"✓ sft: sft  loss [\d.]+ → ", plain)
    assert "✓ evaluate: base, sft" in plain
    second = re.sub(
        r"\x1b\[[?\d;]*[a-zA-Z]", "", done(home, "run", "pipeline.yaml", "--to", "shown").err
    )
    assert "✓ sft: sft  finished before" in second
