from pathlib import Path

import pytest

from tests.remote.scripted_server import serving
from tests.stages.feedback.conversing import converse, settings
from upbring.cli.main import main


def test_the_command_prints_the_figures_and_where_the_rows_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    with serving(converse) as server:
        config = settings(tmp_path, server.url)
        main(
            [
                *("constitution", str(config.prompts[0]), "--model", server.url),
                *("--principles", str(config.principles), "--gold", str(config.gold[0])),
                *("--to", "out", "--input-price", "2"),
            ]
        )
    printed, errors = capsys.readouterr()
    assert "judge/agreement" in printed
    assert "out/comparisons.jsonl: train with `upbring dpo`" in printed
    assert "out/demonstrations.jsonl: train with `upbring sft`" in printed
    assert "18 pairs: 6 cannot say, 12 labeled" in errors
    assert "tokens in and" in errors
