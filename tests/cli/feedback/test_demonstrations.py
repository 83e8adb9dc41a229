from pathlib import Path

import pytest

from tests.remote.scripted_server import serving
from tests.stages.feedback.conversing import converse, settings
from upbring.cli.main import main


def test_best_of_n_prints_the_figures_and_where_the_rows_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    with serving(converse) as server:
        config = settings(tmp_path, server.url)
        words = ("--judge", "rules.py:largest", "--num-responses", "2", "--to", "out")
        code = "def largest(response):\n    return int(response.split()[1][:-1])\n"
        (tmp_path / "rules.py").write_text(code)
        main(["best-of-n", str(config.prompts[0]), "--model", server.url, *words])
    printed, errors = capsys.readouterr()
    assert "prompts/chosen" in printed
    assert "out/demonstrations.jsonl: train with `upbring sft`" in printed
    assert "at most 12 calls" in errors
    assert "judged by rules.py:largest (not measured: a rule)" in errors


def test_a_teacher_prints_the_figures_and_where_the_rows_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    with serving(converse) as server:
        prompts = str(settings(tmp_path, server.url).prompts[0])
        main(["teacher", prompts, "--model", server.url, "--to", "out"])
    printed, errors = capsys.readouterr()
    assert "words/kept" in printed
    assert "out/demonstrations.jsonl: train with `upbring sft`" in printed
    assert "at most 6 calls" in errors
