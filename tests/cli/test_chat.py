import io
import sys
from pathlib import Path

import pytest

from tests.commands import QUICK, Answer, done, prepare, upbring
from upbring.serve.terminal_chat import HINT

GREEDY = ("--temperature", "0", "--max-tokens", "6", "--threads", "1", "--dtype", "float32")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = prepare(tmp_path_factory.mktemp("home"))
    done(folder, "sft", "d.jsonl", "--model", "m", *QUICK, "--name", "a")
    return folder


class Terminal(io.StringIO):
    """Lines typed in a terminal."""

    def isatty(self) -> bool:
        return True


def talk(folder: Path, patch: pytest.MonkeyPatch, *lines: str, is_terminal: bool = False) -> Answer:
    """Chat with the run `a`; the user types `lines`."""
    text = "".join(f"{line}\n" for line in lines)
    patch.setattr(sys, "stdin", Terminal(text) if is_terminal else io.StringIO(text))
    return upbring(folder, "chat", "runs/a", *GREEDY)


def test_one_question_gets_one_answer_on_standard_output(home: Path) -> None:
    one = done(home, "chat", "runs/a", "--prompt", "What?", *GREEDY)
    two = done(home, "chat", "runs/a", "--prompt", "What?", *GREEDY)
    assert one.out == two.out
    assert one.out.endswith("\n")
    assert len(one.out) > 1


def test_a_pipe_is_answered_line_by_line(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = done(home, "chat", "runs/a", "--prompt", "What?", *GREEDY)
    piped = talk(home, monkeypatch, "What?", "/new", "What?")
    assert piped.code == 0
    assert piped.out == f"{one.out}(new dialogue)\n{one.out}"


def test_a_terminal_session_shows_the_commands_and_quits_by_one(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = talk(home, monkeypatch, "/undo", "/quit", "never read", is_terminal=True)
    assert found.code == 0
    assert found.err.endswith(f"runs/a · {HINT}\n")
    assert found.out == "> (no turn to remove)\n> "


def test_a_terminal_session_continues_after_a_question_that_is_too_long(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "word " * 300
    found = talk(home, monkeypatch, long, "/undo", is_terminal=True)
    assert found.code == 0
    assert "or start a new dialogue with /new\n> (no turn" in found.out
    piped = talk(home, monkeypatch, long)
    assert piped.code == 2
    assert piped.err.endswith("or start a new dialogue with /new\n")


def test_what_is_no_text_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe\n"), "utf-8"))
    found = upbring(home, "chat", "runs/a", *GREEDY)
    assert found.code == 2
    assert found.err.startswith("standard input: is not UTF-8")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("none", "none: no such directory; "),
        ("runs/b", "runs/b: no such directory; "),
        ("d.jsonl", "d.jsonl: is a file; give the directory that contains the model"),
        ("builtin:none", "builtin:none: no such builtin model"),
        (".", ".: has no config.json; pass the directory that contains the model"),
    ],
)
def test_a_missing_model_is_reported(home: Path, model: str, message: str) -> None:
    found = upbring(home, "chat", model, "--prompt", "x", "--threads", "1")
    assert found.code == 2
    assert message in found.err
