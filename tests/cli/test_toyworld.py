import json
from pathlib import Path

import pytest

from upbring.cli import main


def test_the_world_is_exported_and_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "world"
    assert main.main(["toyworld", "export", str(folder), "--characters", "20000"]) == 0
    lines = (folder / "demonstrations.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert rows[0]["messages"][-1]["role"] == "assistant"
    assert "demonstrations.jsonl" in capsys.readouterr().out
    assert main.main(["toyworld", "export", str(folder)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_a_misspelled_action_is_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["toyworld", "exprt", "x"]) == 2
    assert "use: export FOLDER" in capsys.readouterr().err
