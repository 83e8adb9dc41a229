from pathlib import Path

import pytest

from tests.stages.redteam.hardening import HARMFUL, INNOCENT
from upbring.cli.main import main


def test_the_command_prints_the_table_and_what_to_do_next(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "h.txt").write_text(HARMFUL)
    (tmp_path / "i.txt").write_text(INNOCENT)
    words = ["harden", str(model_folder), "--harmful", str(tmp_path / "h.txt"), "--target", "1"]
    words += ["--innocent", str(tmp_path / "i.txt"), "--families", "typos,role,task,config"]
    words += ["--held-out-families", "role,task,config", "--tries", "1", "--max-tokens", "4"]
    words += ["--min-comprehension", "0", "--threads", "1", "--to", str(tmp_path / "out")]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "typos" in out
    assert "upbring chat" in out
    assert (tmp_path / "out" / "model").is_dir()


def test_too_few_held_out_families_are_exit_code_2(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "h.txt").write_text(HARMFUL)
    (tmp_path / "i.txt").write_text(INNOCENT)
    words = ["harden", str(model_folder), "--harmful", str(tmp_path / "h.txt")]
    words += ["--innocent", str(tmp_path / "i.txt"), "--held-out-families", "role"]
    assert main([*words, "--to", str(tmp_path / "out")]) == 2
    assert "held_out_families: has 1 family; name 3 or more" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
