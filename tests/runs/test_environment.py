"""The environment is read without importing libraries and contains no user name."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from upbring.runs.environment import collect_environment, git_commit, redact_home, usable_cores

HASH = "0123456789abcdef0123456789abcdef01234567"


def test_versions_and_machine_are_known_without_importing_torch() -> None:
    program = (
        "import json, sys; from upbring.runs.environment import collect_environment; "
        "value = collect_environment(extra={'device': 'cpu'}); assert 'torch' not in sys.modules; "
        "print(json.dumps(value, allow_nan=False))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    value = json.loads(result.stdout)
    assert value["packages"]["torch"].startswith("2.")
    assert value["packages"]["safetensors"]
    assert value["device"] == "cpu"
    assert 1 <= value["usable_cores"] <= value["cores"]
    assert set(value) >= {"python", "commit", "platform", "processor", "instructions"}


def test_neither_user_nor_home_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/margarete")
    monkeypatch.setenv("USER", "margarete")
    assert "margarete" not in json.dumps(collect_environment())


def test_the_home_folder_is_written_as_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/home/eva"))
    assert redact_home("/home/eva/data/a.jsonl") == "~/data/a.jsonl"
    assert redact_home("/home/eva") == "~"
    assert redact_home("/home/evangeline/a.jsonl") == "/home/evangeline/a.jsonl"
    monkeypatch.setattr(Path, "home", lambda: Path("/"))
    assert redact_home("/data/a.jsonl") == "/data/a.jsonl"


def test_without_a_home_nothing_is_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", homeless)
    assert redact_home("/data/a.jsonl") == "/data/a.jsonl"


def test_the_commit_is_read_from_all_places_where_git_keeps_it(tmp_path: Path) -> None:
    assert git_commit(tmp_path) is None
    git = tmp_path / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    assert git_commit(tmp_path) is None
    (git / "packed-refs").write_text(f"# pack-refs\n{HASH} refs/heads/main\n")
    assert git_commit(tmp_path) == HASH
    (git / "refs" / "heads" / "main").write_text("f" * 40 + "\n")
    assert git_commit(tmp_path) == "f" * 40
    (git / "HEAD").write_text(HASH + "\n")
    assert git_commit(tmp_path) == HASH


def test_there_is_a_core_to_run_on() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
