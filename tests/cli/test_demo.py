from pathlib import Path

import pytest

from upbring.cli import door


def test_the_demo_takes_the_road_and_shows_what_it_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["demo", "--epochs", "0.02", "--tried", "6", "--threads", "1"]
    assert door.main(words) == 0
    out = capsys.readouterr().out
    assert "measured on held-out data" in out
    assert "Talk with it:  upbring chat demo/runs/sft" in out
    assert (tmp_path / "demo" / "runs" / "sft" / "model" / "adapter_model.safetensors").is_file()
    assert door.main(words) == 2
    assert "exists already" in capsys.readouterr().err
