import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from upbring.cli.completion import SCRIPTS, complete_words, print_script
from upbring.errors import InputError
from upbring.settings.command_table import commands

ROOT = Path(__file__).parents[2]


def test_verbs_complete() -> None:
    assert complete_words(["ch"]) == ["check", "chat"]
    assert set(commands()) < set(complete_words([""]))


def test_flags_complete_with_dashes_or_underscores() -> None:
    assert complete_words(["sft", "--learning"]) == ["--learning-rate"]
    assert complete_words(["sft", "--learning_"]) == ["--learning-rate"]
    assert "--no-dora" in complete_words(["sft", "--no-"])
    assert "--settings" in complete_words(["check", "--se"])


def test_choices_complete_behind_their_flag() -> None:
    assert complete_words(["sft", "--lr-scheduler", ""]) == ["cosine", "linear", "constant"]
    assert complete_words(["sft", "--lr-scheduler", "=", "c"]) == ["cosine", "constant"]
    assert complete_words(["completion", "z"]) == ["zsh"]


def test_the_rest_is_left_to_file_names() -> None:
    assert complete_words(["sft", ""]) == []
    assert complete_words(["sft", "--data", "a"]) == []
    assert complete_words(["nonsense", "--"]) == []
    assert complete_words([]) == []


@pytest.mark.parametrize("shell", list(SCRIPTS))
def test_a_script_is_printed_and_is_valid(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_script([shell])
    script = capsys.readouterr().out
    assert "_UPBRING_COMPLETE=1 upbring" in script
    program = shutil.which(shell)
    if program:
        subprocess.run([program, "-n"], input=script, text=True, check=True)


def test_bash_completes_through_the_script(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None or os.name == "nt":
        pytest.skip("no bash here")
    upbring = tmp_path / "upbring"
    upbring.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m upbring "$@"\n', encoding="utf-8")
    upbring.chmod(0o755)
    script = SCRIPTS["bash"] + (
        "COMP_WORDS=(upbring sft --lr-scheduler c); COMP_CWORD=3; _upbring\n"
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
        (["bsh"], "upbring completion: no such shell bsh; did you mean bash?"),
        (["tcl"], "upbring completion: no such shell tcl; give one of bash, zsh, fish"),
        ([], "upbring completion: 0 words; give one of bash, zsh, fish"),
    ],
)
def test_another_shell_is_refused(words: list[str], expected: str) -> None:
    with pytest.raises(InputError) as caught:
        print_script(words)
    assert str(caught.value).startswith(expected)
