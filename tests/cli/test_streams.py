"""Closed standard streams and closed pipes, from a real shell."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import QUICK, prepare


def shell(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    program = f"{shlex.quote(sys.executable)} -m upbring"
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command.replace("upbring", program)],
        cwd=folder,
        env={**os.environ, "UPBRING_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_run_with_closed_streams_ends_well(tmp_path: Path, closed: str) -> None:
    prepare(tmp_path)
    words = shlex.join(["sft", "d.jsonl", "--model", "m", *QUICK, "--name", "a"])
    assert shell(tmp_path, f"upbring {words} {closed}").returncode == 0
    assert (tmp_path / "runs/a/model/adapter_model.safetensors").is_file()
    for path in (tmp_path / "runs/a").rglob("*.json*"):
        assert "examples to train on" not in path.read_text()  # no output went into a file


def test_a_closed_pipe_has_its_own_exit_code(tmp_path: Path) -> None:
    prepare(tmp_path)
    assert shell(tmp_path, "upbring check d.jsonl | head -0 >/dev/null").returncode == 141
    assert "bug in upbring" not in shell(tmp_path, "upbring check d.jsonl | head -1").stderr
    assert shell(tmp_path, "upbring check d.jsonl | cat >/dev/null").returncode == 0


def test_names_cannot_control_the_terminal(tmp_path: Path) -> None:
    prepare(tmp_path)
    hostile = "x\x1b]0;owned\x07\u202e.jsonl"
    (tmp_path / hostile).write_bytes((tmp_path / "d.jsonl").read_bytes())
    (tmp_path / "hostile.yaml").write_text('"\\e]0;owned\\a\\u202E": 1\nmodel: m\n')
    for command in (
        f"upbring check {shlex.quote(hostile)}",
        f"upbring sft {shlex.quote(hostile)} --model m --steps 1 --batch-size 2",
        f"upbring chat {shlex.quote(hostile)}",
        "upbring run hostile.yaml",
        "upbring sft --settings hostile.yaml",
    ):
        found = shell(tmp_path, command)
        text = found.stdout + found.stderr
        assert "owned" in text, text
        assert not {"\x1b", "\x07", "\u202e"} & set(text), text


def test_a_printed_command_can_be_typed_as_it_is(tmp_path: Path) -> None:
    prepare(tmp_path)
    words = shlex.join(["sft", "d.jsonl", "--model", "m", *QUICK, "--name", "my run; true"])
    assert "`upbring chat 'runs/my run; true'`" in shell(tmp_path, f"upbring {words}").stderr
