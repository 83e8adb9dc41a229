from pathlib import Path

from tests.commands import done, upbring


def test_with_all_flags_no_question_is_asked_and_the_next_command_is_printed(
    tmp_path: Path,
) -> None:
    answer = done(tmp_path, "init", "--case", "persona", "--model", "./base", "--to", "mine")
    assert "wrote mine/recipe.yaml" in answer.out
    assert "Next:  upbring run mine/recipe.yaml" in answer.out
    assert "model: ./base" in (tmp_path / "mine" / "recipe.yaml").read_text()


def test_without_a_terminal_nobody_is_asked(tmp_path: Path) -> None:
    answer = upbring(tmp_path, "init")
    assert answer.code == 2
    assert "standard input is not a terminal; give --case and --model" in answer.err
