"""Shell completion: click's scripts ask this program for words."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from upbring.cli.command_table import commands
from upbring.cli.main import SHELLS, main, make_command_line

ROOT = Path(__file__).parents[2]


def complete(*words: str) -> list[str]:
    """Return what may replace the last word; <file> leaves it to the shell."""
    *previous, current = words
    completion = ShellComplete(make_command_line(), {}, "upbring", "_UPBRING_COMPLETE")
    items = completion.get_completions(previous, current)
    return [item.value if item.type == "plain" else f"<{item.type}>" for item in items]


def test_commands_complete() -> None:
    assert complete("ch") == ["check", "chat"]
    assert {*commands(), "completion"} == set(complete(""))


def test_flags_complete_without_the_names_of_other_tools() -> None:
    assert complete("sft", "--learning") == ["--learning-rate"]
    assert "--no-dora" in complete("sft", "--no-")
    assert "--settings" in complete("check", "--se")
    assert complete("sft", "--lora") == []


def test_choices_complete_after_their_flag() -> None:
    assert complete("sft", "--lr-scheduler", "") == ["cosine", "linear", "constant"]
    assert complete("sft", "--tune", "f") == ["full"]
    assert complete("completion", "z") == ["zsh"]


def test_files_are_left_to_the_shell() -> None:
    assert complete("sft", "") == ["<file>"]
    assert complete("sft", "--model", "a") == ["<file>"]
    assert complete("sft", "--name", "a") == []
    assert complete("nonsense", "--") == ["--debug", "--version", "--help"]


def test_a_planned_command_completes_as_by_itself() -> None:
    assert complete("plan", "sft", "--learning") == ["--learning-rate"]
    assert complete("plan", "sft", "--tune", "f") == ["full"]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_is_printed_and_is_valid(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert f"_UPBRING_COMPLETE={shell}_complete" in script
    program = shutil.which(shell)
    if program:
        subprocess.run([program, "-n"], input=script, text=True, check=True)


def test_bash_completes_through_the_script(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bash = shutil.which("bash")
    if bash is None or os.name == "nt":
        pytest.skip("no bash here")
    upbring = tmp_path / "upbring"
    upbring.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m upbring "$@"\n', encoding="utf-8")
    upbring.chmod(0o755)
    main(["completion", "bash"])
    script = capsys.readouterr().out + (
        "COMP_WORDS=(upbring sft --lr-scheduler c); COMP_CWORD=3; _upbring_completion upbring\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    found = subprocess.run(
        [bash, "--norc", "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == ["cosine", "constant"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["bsh"], "upbring completion: invalid value for {bash|zsh|fish}: bsh is not one of "),
        ([], "upbring completion: missing argument {bash|zsh|fish}"),
    ],
)
def test_another_shell_is_refused(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", *words]) == 2
    assert capsys.readouterr().err.startswith(expected)
