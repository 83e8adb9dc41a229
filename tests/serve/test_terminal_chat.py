import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from upbring.data.read.records import Message
from upbring.errors import InputError, UpbringError
from upbring.serve.streaming import ChatModel
from upbring.serve.terminal_chat import HELP, HINT, TerminalChat
from upbring.settings.sampling import SampleSettings


@dataclass
class Echo:
    """Repeats the user message in two pieces and records the dialogues."""

    dialogues: list[list[tuple[str, str]]] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    failure: BaseException | None = None

    def stream_response(
        self, messages: Sequence[Message], sampling: object, *, key: int
    ) -> Iterator[str]:
        del sampling
        self.dialogues.append([(m.role, m.content) for m in messages])
        self.keys.append(key)
        yield "You said "
        if self.failure:
            raise self.failure
        yield messages[-1].content


@pytest.fixture
def shown() -> list[str]:
    return []


@pytest.fixture
def echo() -> Echo:
    return Echo()


def make_terminal_chat(echo: Echo, shown: list[str], *, system: str | None = None) -> TerminalChat:
    return TerminalChat(
        cast("ChatModel", cast("Any", echo)), SampleSettings(), 0, system, shown.append
    )


def test_the_dialogue_is_kept(echo: Echo, shown: list[str]) -> None:
    chat = make_terminal_chat(echo, shown, system="Be kind.")
    assert chat.handle_line("one")
    assert chat.handle_line("two")
    assert "".join(shown) == "You said one\nYou said two\n"
    assert echo.dialogues[1] == [
        ("system", "Be kind."),
        ("user", "one"),
        ("assistant", "You said one"),
        ("user", "two"),
    ]
    assert len(set(echo.keys)) == 2


def test_new_starts_a_new_dialogue_and_keeps_the_system_message(
    echo: Echo, shown: list[str]
) -> None:
    chat = make_terminal_chat(echo, shown, system="Be kind.")
    chat.handle_line("one")
    assert chat.handle_line("/new")
    assert shown[-1] == "(new dialogue)\n"
    chat.handle_line("two")
    assert echo.dialogues[-1] == [("system", "Be kind."), ("user", "two")]


def test_undo_removes_the_last_turn_and_the_next_answer_uses_the_same_key(
    echo: Echo, shown: list[str]
) -> None:
    chat = make_terminal_chat(echo, shown)
    chat.handle_line("one")
    chat.handle_line("two")
    assert chat.handle_line("/undo")
    assert shown[-1] == "(last turn removed)\n"
    chat.handle_line("two")
    assert echo.dialogues[1] == echo.dialogues[2]
    assert echo.keys[1] == echo.keys[2]


def test_undo_without_a_turn_prints_a_message(echo: Echo, shown: list[str]) -> None:
    chat = make_terminal_chat(echo, shown, system="Be kind.")
    assert chat.handle_line("/undo")
    assert shown == ["(no turn to remove)\n"]
    assert [m.role for m in chat.messages] == ["system"]


@pytest.mark.parametrize("word", ["/quit", "/exit", " /quit "])
def test_quit_ends_the_chat(echo: Echo, shown: list[str], word: str) -> None:
    assert not make_terminal_chat(echo, shown).handle_line(word)
    assert not echo.dialogues


@pytest.mark.parametrize("word", ["", "  ", "/help", "/nwe"])
def test_empty_lines_and_commands_are_not_sent_to_the_model(
    echo: Echo, shown: list[str], word: str
) -> None:
    assert make_terminal_chat(echo, shown).handle_line(word)
    assert not echo.dialogues
    expected = {"/help": [HELP], "/nwe": [f"unknown command /nwe; {HINT}\n"]}
    assert shown == expected.get(word, [])


def test_a_message_can_start_with_a_slash(echo: Echo, shown: list[str]) -> None:
    make_terminal_chat(echo, shown).handle_line("/etc/hosts is what?")
    assert echo.dialogues


def test_the_partial_text_of_an_interrupted_answer_is_kept(echo: Echo, shown: list[str]) -> None:
    chat = make_terminal_chat(echo, shown)
    echo.failure = KeyboardInterrupt()
    assert chat.handle_line("one")
    assert "".join(shown) == "You said  …\n"
    assert chat.messages[-1] == Message("assistant", "You said ")


def test_a_failed_turn_does_not_change_the_dialogue(echo: Echo, shown: list[str]) -> None:
    chat = make_terminal_chat(echo, shown)
    chat.handle_line("one")
    echo.failure = InputError("the dialogue is too long")
    with pytest.raises(InputError):
        chat.handle_line("two")
    assert [m.content for m in chat.messages] == ["one", "You said one"]


def test_control_characters_never_reach_the_terminal(echo: Echo, shown: list[str]) -> None:
    chat = make_terminal_chat(echo, shown)
    answer = chat.send("a\x1b[2Jb\x07\x9bc\td\ne\x7f")
    assert "".join(shown) == "You said a\ufffd[2Jb\ufffd\ufffdc\td\ne\ufffd"
    assert answer.endswith("a\x1b[2Jb\x07\x9bc\td\ne\x7f")  # the history keeps the original text


def test_a_retry_gives_another_answer_to_the_same_message(echo: Echo, shown: list[str]) -> None:
    chat = make_terminal_chat(echo, shown)
    chat.handle_line("/retry")
    assert shown == ["(no answer to replace)\n"]
    for line in ("one", "/retry", "/retry"):
        chat.handle_line(line)
    assert echo.dialogues == [[("user", "one")]] * 3
    assert len(set(echo.keys)) == 3
    assert [m.role for m in chat.messages] == ["user", "assistant"]


def test_thumbs_store_which_of_two_answers_is_better(echo: Echo, shown: list[str]) -> None:
    stored: list[tuple[list[str], str, str]] = []
    chat = make_terminal_chat(echo, shown)
    chat.store_vote = lambda prompt, best, worst: stored.append(
        ([m.content for m in prompt], best, worst)
    )
    for line in ("+", "one"):
        chat.handle_line(line)
    assert shown[0].startswith("(nothing to compare")
    first, second = "first", "You said one"
    chat.messages[-1] = Message("assistant", first)
    chat.handle_line("/compare")
    assert "1: first\n2: You said one\n(+ if 2 is better" in "".join(shown)
    chat.handle_line("-")
    assert stored == [(["one"], first, second)]
    assert chat.messages[-1].content == first
    chat.handle_line("/retry")
    chat.handle_line("+")
    assert stored[1] == (["one"], second, first)
    assert chat.messages[-1].content == second


def test_at_temperature_0_there_is_no_other_answer(echo: Echo, shown: list[str]) -> None:
    chat = make_terminal_chat(echo, shown)
    chat.sampling = SampleSettings(temperature=0.0)
    for line in ("one", "/compare"):
        chat.handle_line(line)
    assert shown[-1] == "(at temperature 0 every answer is the same)\n"


def test_several_lines_are_one_message(echo: Echo, shown: list[str]) -> None:
    chat = make_terminal_chat(echo, shown)
    for line in ('"""a', "", "/new", 'b"""', '"""c"""', '"""', '"""'):
        assert chat.handle_line(line)
    assert [d[-1][1] for d in echo.dialogues] == ["a\n\n/new\nb", "c"]
    assert chat.block is None


def test_the_system_message_can_be_changed(echo: Echo, shown: list[str]) -> None:
    chat = make_terminal_chat(echo, shown)
    for line in ("/system", "one", "/system Be kind.", "two"):
        chat.handle_line(line)
    assert shown[0] == "(system message: none)\n"
    assert echo.dialogues[-1][0] == ("system", "Be kind.")


def test_a_saved_dialogue_is_training_data(echo: Echo, shown: list[str], tmp_path: Path) -> None:
    chat = make_terminal_chat(echo, shown)
    file = tmp_path / "kept.jsonl"
    chat.handle_line(f"/save {file}")
    assert not file.exists()
    for line in ("one", f"/save {file}", "two", f"/save {file}"):
        chat.handle_line(line)
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [len(row["messages"]) for row in rows] == [2, 4]
    assert rows[0]["messages"][1] == {"role": "assistant", "content": "You said one"}
    with pytest.raises(UpbringError):
        chat.handle_line(f"/save {tmp_path}")
