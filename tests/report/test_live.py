import json
import shutil
from pathlib import Path

from tests.report.made import make_run
from upbring.report.live import LiveReport
from upbring.report.run_data import BASE
from upbring.runs.metrics import MetricsFile


def test_the_page_is_rebuilt_only_when_a_file_has_grown(tmp_path: Path) -> None:
    run = make_run(tmp_path, "sft", "run", model=BASE, steps=3)
    live = LiveReport([run.path], refresh_seconds=5)
    first = live.html()
    assert live.html() is first
    with MetricsFile(run.metrics_file) as metrics:
        metrics.write(4, {"loss": 0.5})
    second = live.html()
    assert second != first
    assert json.loads(live.json_text())["stages"][0]["metrics"][-1]["loss"] == 0.5


def test_a_folder_that_appears_late_is_seen(tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", "sft", "run", model=BASE, steps=3)
    live = LiveReport([tmp_path / "runs"], refresh_seconds=5)
    before = live.html()
    shutil.copytree(run.path, tmp_path / "runs" / "other")
    assert live.html() != before
