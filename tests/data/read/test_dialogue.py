import pytest

from upbring.data.read import dialogue
from upbring.data.read.records import Message
from upbring.data.read.row_errors import RowError

USER, ASSISTANT = Message("user", "Hi"), Message("assistant", "Hello")


def _error(value: object) -> str:
    with pytest.raises(RowError) as caught:
        dialogue.parse_message(value, "messages[2]")
    return str(caught.value)


@pytest.mark.parametrize(
    ("role", "known"),
    [
        ("human", "user"),
        ("Human", "user"),
        ("gpt", "assistant"),
        ("observation", "tool"),
        ("function_call", "assistant"),
        ("developer", "system"),
        ("USER", "user"),
    ],
)
def test_roles_of_other_tools_are_known(role: str, known: str) -> None:
    turn = dialogue.parse_message({"from": role, "value": " x "}, "m")
    assert (turn.role, turn.content) == (known, " x ")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            {"role": "bot", "content": "x"},
            "messages[2].role: 'bot' is unknown; use system, user, assistant or tool",
        ),
        ({"role": "asistant", "content": "x"}, "'asistant' is unknown (did you mean assistant?)"),
        ({"content": "x"}, "messages[2].role: is missing or null; use system"),
        ({"role": 3, "content": "x"}, "messages[2].role: is the number 3"),
        ({"role": "user"}, "messages[2].content: is missing or null; write it as text"),
        ({"role": "user", "content": ""}, "messages[2].content: is empty; fill it or delete"),
        ({"role": "user", "content": " \n"}, "messages[2].content: is blank"),
        ({"role": "user", "content": "a\0b"}, "contains a NUL character at position 2; delete it"),
        (
            {"role": "user", "content": "a\ud800"},
            "contains a lone surrogate (U+D800) at position 2",
        ),
        ({"role": "user", "content": {"text": "x"}}, "messages[2].content: is an object"),
        (
            {"role": "user", "content": [{"type": "image_url"}]},
            "content[0]: is a content part of type",
        ),
        ({"role": "user", "content": ["x"]}, "is a content part of type 'x'; only"),
        (
            {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
            "messages[2].tool_calls: contains tool calls, which are not supported; write the",
        ),
        ({"role": "assistant", "content": "x", "weight": 0}, "messages[2].weight: is 0"),
        ("Hi", "messages[2]: is the text 'Hi'; write it as {"),
        (None, "messages[2]: is missing or null"),
        (True, "messages[2]: is true"),
    ],
)
def test_what_is_wrong_with_a_turn_is_reported(value: object, message: str) -> None:
    assert message in _error(value)


def test_text_parts_are_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"text": "b"}]
    assert dialogue.parse_message({"role": "user", "content": parts}, "m").content == "ab"


def test_text_is_kept_unchanged() -> None:
    assert dialogue.require_text(" a\r\n\tb ", "text") == " a\r\n\tb "


def test_the_order_of_turns_is_checked_by_number() -> None:
    system, tool = Message("system", "s"), Message("tool", "t")
    for good in [
        (USER, ASSISTANT),
        (system, USER),
        (USER, ASSISTANT, tool, tool, ASSISTANT, USER),
    ]:
        assert dialogue.check_turn_order(good, "messages") == good
    for bad, message in [
        (
            (ASSISTANT,),
            "turn 1 has role assistant, but at the start only system or user is allowed",
        ),
        ((USER, USER), "turn 2 has role user, but after user only assistant is allowed; merge"),
        (
            (USER, ASSISTANT, system),
            "turn 3 has role system, but after assistant only user or tool is allowed",
        ),
        ((USER, Message("assistant", " ")), "turn 2 (assistant) is empty"),
    ]:
        with pytest.raises(RowError) as caught:
            dialogue.check_turn_order(bad, "messages")
        assert message in str(caught.value)


def test_a_list_may_be_json_in_a_cell() -> None:
    assert dialogue.require_list('[1, "a"]', "ranks") == [1, "a"]
    for value, message in [
        ("[1,", "ranks: contains a list, but row: is not JSON"),
        ("1", "ranks: is the text '1'; write it as a list"),
        ([], "ranks: is an empty list"),
        (None, "ranks: is missing or null"),
    ]:
        with pytest.raises(RowError) as caught:
            dialogue.require_list(value, "ranks")
        assert message in str(caught.value)


def test_hh_text_is_split_into_turns_without_the_space_of_the_marker() -> None:
    text = "\n\nHuman: Hi\n\nAssistant:  two spaces \n\nHuman: Say \n\nHuman!\n\nAssistant:"
    assert dialogue.parse_hh_dialogue(text, "chosen") == (
        Message("user", "Hi"),
        Message("assistant", " two spaces "),
        Message("user", "Say \n\nHuman!"),
        Message("assistant", ""),
    )
    assert dialogue.is_hh_dialogue(text)
    assert not dialogue.is_hh_dialogue("Human: Hi")
    with pytest.raises(RowError, match="begins with 'Hello'; begin it with"):
        dialogue.parse_hh_dialogue("Hello", "chosen")


def test_an_optional_text_may_be_absent_null_or_blank() -> None:
    for fields in ({}, {"input": None}, {"input": ""}, {"input": "  "}):
        assert dialogue.optional_text(fields, "input") == ""
    with pytest.raises(RowError, match="input: is a list; write it as text"):
        dialogue.optional_text({"input": []}, "input")
