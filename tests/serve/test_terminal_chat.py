from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from upbring.data.read.records import Message
from upbring.errors import InputError
from upbring.serve.streaming import ChatModel
from upbring.serve.terminal_chat import HELP, TerminalChat
from upbring.settings.sampling import SampleSettings


@dataclass
class Echo:
    """Answers with what it was asked, in two pieces, and remembers the dialogue."""

    heard: list[list[tuple[str, str]]] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    failure: BaseException | None = None

    def stream_response(
        self, messages: Sequence[Message], sampling: object, *, key: int
    ) -> Iterator[str]:
        del sampling
        self.heard.append([(m.role, m.content) for m in messages])
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


def talk(echo: Echo, shown: list[str], *, system: str | None = None) -> TerminalChat:
    return TerminalChat(
        cast("ChatModel", cast("Any", echo)), SampleSettings(), 0, system, shown.append
    )


def test_a_dialogue_is_remembered(echo: Echo, shown: list[str]) -> None:
    it = talk(echo, shown, system="Be kind.")
    assert it.handle_line("one")
    assert it.handle_line("two")
    assert "".join(shown) == "You said one\nYou said two\n"
    assert echo.heard[1] == [
        ("system", "Be kind."),
        ("user", "one"),
        ("assistant", "You said one"),
        ("user", "two"),
    ]
    assert len(set(echo.keys)) == 2


def test_new_begins_anew_and_keeps_the_system_message(echo: Echo, shown: list[str]) -> None:
    it = talk(echo, shown, system="Be kind.")
    it.handle_line("one")
    assert it.handle_line("/new")
    assert shown[-1] == "(begun anew)\n"
    it.handle_line("two")
    assert echo.heard[-1] == [("system", "Be kind."), ("user", "two")]


def test_undo_takes_the_last_turn_back_and_asked_again_it_is_answered_alike(
    echo: Echo, shown: list[str]
) -> None:
    it = talk(echo, shown)
    it.handle_line("one")
    it.handle_line("two")
    assert it.handle_line("/undo")
    assert shown[-1] == "(taken back)\n"
    it.handle_line("two")
    assert echo.heard[1] == echo.heard[2]
    assert echo.keys[1] == echo.keys[2]


def test_where_there_is_nothing_to_take_back_it_says_so(echo: Echo, shown: list[str]) -> None:
    it = talk(echo, shown, system="Be kind.")
    assert it.handle_line("/undo")
    assert shown == ["(there is nothing to take back)\n"]
    assert [m.role for m in it.messages] == ["system"]


@pytest.mark.parametrize("word", ["/quit", "/exit", " /quit "])
def test_quit_leaves(echo: Echo, shown: list[str], word: str) -> None:
    assert not talk(echo, shown).handle_line(word)
    assert not echo.heard


@pytest.mark.parametrize("word", ["", "  ", "/help", "/nwe"])
def test_what_is_no_question_is_not_answered(echo: Echo, shown: list[str], word: str) -> None:
    assert talk(echo, shown).handle_line(word)
    assert not echo.heard
    expected = {"/help": [HELP + "\n"], "/nwe": [f"there is no /nwe; {HELP}\n"]}
    assert shown == expected.get(word, [])


def test_a_question_may_begin_with_a_slash(echo: Echo, shown: list[str]) -> None:
    talk(echo, shown).handle_line("/etc/hosts is what?")
    assert echo.heard


def test_an_interrupted_answer_is_kept_as_far_as_it_came(echo: Echo, shown: list[str]) -> None:
    it = talk(echo, shown)
    echo.failure = KeyboardInterrupt()
    assert it.handle_line("one")
    assert "".join(shown) == "You said  …\n"
    assert it.messages[-1] == Message("assistant", "You said ")


def test_a_turn_that_cannot_be_answered_is_as_if_never_asked(echo: Echo, shown: list[str]) -> None:
    it = talk(echo, shown)
    it.handle_line("one")
    echo.failure = InputError("the dialogue has 300 tokens and the model reads 256; begin anew")
    with pytest.raises(InputError):
        it.handle_line("two")
    assert [m.content for m in it.messages] == ["one", "You said one"]


def test_control_characters_never_reach_the_terminal(echo: Echo, shown: list[str]) -> None:
    it = talk(echo, shown)
    answer = it.send("a\x1b[2Jb\x07\x9bc\td\ne\x7f")
    assert "".join(shown) == "You said a\ufffd[2Jb\ufffd\ufffdc\td\ne\ufffd"
    assert answer.endswith("a\x1b[2Jb\x07\x9bc\td\ne\x7f")  # what was said is what was said
