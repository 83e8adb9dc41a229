import math

import pytest

from upbring.data.read import format_readers
from upbring.data.read.format_readers import ParsedExample
from upbring.data.read.records import Message
from upbring.data.read.row_errors import RowError, UnusedError
from upbring.data.read.rows import Fields

Q, A = Message("user", "Q"), Message("assistant", "A")
TALK = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
HH = "\n\nHuman: Q\n\nAssistant: "


def test_alpaca_puts_the_input_on_a_new_line_and_the_history_before() -> None:
    fields = {
        "instruction": "Add",
        "input": "1 2",
        "output": " 3",
        "system": "Be brief.",
        "history": [["Q", "A"]],
    }
    assert format_readers.read_alpaca(fields) == [
        ParsedExample((Message("system", "Be brief."), Q, A, Message("user", "Add\n1 2")), (" 3",))
    ]


def test_each_instance_is_an_example() -> None:
    found = format_readers.read_instances(
        {"instruction": "Add", "instances": [{"input": "1 2", "output": "3"}, {"output": "?"}]}
    )
    assert found == [
        ParsedExample((Message("user", "Add\n1 2"),), ("3",)),
        ParsedExample((Message("user", "Add"),), ("?",)),
    ]


def test_messages_end_with_the_response() -> None:
    assert format_readers.read_messages({"messages": TALK, "system": "S"}) == [
        ParsedExample((Message("system", "S"), Q), ("A",))
    ]
    talk = [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]
    assert format_readers.read_messages({"conversations": talk}) == [ParsedExample((Q,), ("A",))]


@pytest.mark.parametrize("name", ["response", "completion", "answer", "output", "answer1"])
@pytest.mark.parametrize("prompt", ["prompt", "question", "query"])
def test_prompts_and_responses_have_many_names(prompt: str, name: str) -> None:
    assert format_readers.read_prompt_response({prompt: "Q", name: "A"}) == [
        ParsedExample((Q,), ("A",))
    ]


def test_prompt_and_response_may_be_messages() -> None:
    fields = {"prompt": [*TALK, TALK[0]], "completion": [TALK[1]]}
    assert format_readers.read_prompt_response(fields) == [ParsedExample((Q, A, Q), ("A",))]
    assert format_readers.read_prompt_response({"prompt": TALK[:1], "response": TALK[1]}) == [
        ParsedExample((Q,), ("A",))
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "Q", "chosen": "A", "rejected": "B"},
        {"instruction": "Q", "chosen": "A", "rejected": "B"},
        {"prompt": TALK[:1], "chosen": TALK[1:], "rejected": "B"},
        {"prompt": "Q", "chosen": TALK, "rejected": [TALK[0], {**TALK[1], "content": "B"}]},
        {"chosen": TALK, "rejected": [TALK[0], {**TALK[1], "content": "B"}]},
        {"conversations": TALK[:1], "chosen": TALK[1], "rejected": {"from": "gpt", "value": "B"}},
        {"chosen": HH + "A", "rejected": HH + "B"},
        {"prompt": HH, "chosen": "A", "rejected": "B"},
    ],
)
def test_every_preference_format_gives_the_same_example(fields: Fields) -> None:
    assert format_readers.read_preference(fields) == [ParsedExample((Q,), ("A", "B"), (1.0, 2.0))]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"chosen": "A", "rejected": "B"}, "chosen: is 'A' without a prompt; add the field prompt"),
        (
            {"chosen": HH + "A", "rejected": HH.replace("Q", "X") + "B"},
            "rejected: its prompt differs from the prompt of chosen at turn 1; give both the same",
        ),
        ({"chosen": HH + "A", "rejected": HH}, "rejected: turn 2 (assistant) is empty"),
        (
            {"prompt": "X", "chosen": TALK, "rejected": "B"},
            "chosen: does not begin with the row's prompt",
        ),
        ({"prompt": "Q", "chosen": "A"}, "rejected: is missing or null"),
        ({"prompt": "Q", "chosen": "A", "rejected": ["B"]}, "rejected[0]: is the text 'B'"),
        ({"prompt": "Q", "chosen": "A", "rejected": "B", "margin": "x"}, "margin: is 'x'; write"),
        ({"chosen": TALK[:1], "rejected": TALK}, "chosen: its last turn has role user"),
        (
            {"chosen": TALK[1:], "rejected": TALK[1:]},
            "chosen: turn 1 has role assistant, but at the start",
        ),
    ],
)
def test_a_pair_without_one_prompt_and_two_responses_is_reported(
    fields: Fields, message: str
) -> None:
    with pytest.raises(RowError) as caught:
        format_readers.read_preference(fields)
    assert message in str(caught.value)


def test_a_pair_of_equal_responses_is_unused() -> None:
    with pytest.raises(UnusedError, match="the same text"):
        format_readers.read_preference({"prompt": "Q", "chosen": "A", "rejected": "A"})


def test_margins_are_computed_from_scores() -> None:
    pair = {"prompt": "Q", "chosen": "A", "rejected": "B"}
    (example,) = format_readers.read_preference({**pair, "score_chosen": 4.5, "score_rejected": 2})
    assert example.margin == 2.5
    (example,) = format_readers.read_preference({**pair, "margin": "0.5", "annotator": "ann"})
    assert (example.margin, example.annotator) == (0.5, "ann")


@pytest.mark.parametrize(
    ("given", "ranks"),
    [
        ({"ranks": [2, 1, 2]}, (2.0, 1.0, 2.0)),
        ({"ranks": [0, 5, 3]}, (1.0, 3.0, 2.0)),
        ({"scores": [0.1, 9, -3]}, (2.0, 1.0, 3.0)),
        ({"scores": '["1", 1, 2]'}, (2.0, 2.0, 1.0)),
    ],
)
def test_low_ranks_and_high_scores_are_best(given: Fields, ranks: tuple[float, ...]) -> None:
    fields = {"prompt": "Q", "completions": ["a", "b", "c"], **given}
    assert format_readers.read_ranked(fields) == [ParsedExample((Q,), ("a", "b", "c"), ranks)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"responses": ["a"]}, "responses: contains 1 response; give 2 to 9"),
        ({"responses": ["a"] * 10, "ranks": [1] * 10}, "responses: contains 10 responses"),
        ({"ranks": [1]}, "ranks: contains 1 number for 2 responses; give one for each"),
        ({"ranks": [1, True]}, "ranks[1]: is True; write a number"),
        ({"ranks": [1, math.inf]}, "ranks[1]: is inf; write a number"),
        (
            {"ranks": None, "labels": [True, False]},
            "ranks: is missing (labels of single steps are not supported); give",
        ),
        ({"prompt": None}, "prompt: is missing or null"),
        ({"responses": ["a", TALK]}, "responses: contains a response of several turns"),
        ({"responses": ["a", 4]}, "responses[1]: is the number 4"),
    ],
)
def test_what_is_wrong_with_a_ranking_is_reported(change: Fields, message: str) -> None:
    with pytest.raises(RowError) as caught:
        format_readers.read_ranked(
            {"prompt": "Q", "responses": ["a", "b"], "ranks": [1, 2], **change}
        )
    assert message in str(caught.value)


def test_a_ranking_of_equals_is_unused() -> None:
    with pytest.raises(UnusedError, match="have the same rank"):
        format_readers.read_ranked({"prompt": "Q", "responses": ["a", "b"], "ranks": [1, 1]})


@pytest.mark.parametrize(
    ("fields", "is_good"),
    [
        ({"prompt": "Q", "completion": "A", "label": True}, True),
        ({"prompt": "Q", "response": "A", "label": 0}, False),
        ({"prompt": "Q", "response": "A", "label": "False"}, False),
        ({"messages": TALK, "kto_tag": True}, True),
        ({"instruction": "Q", "output": "A", "kto_tag": "bad"}, False),
    ],
)
def test_labels_are_good_or_bad(fields: Fields, is_good: bool) -> None:  # noqa: FBT001 -- an expected value
    assert format_readers.read_labels(fields) == [ParsedExample((Q,), ("A",), is_good=is_good)]


def test_an_unknown_label_is_reported() -> None:
    with pytest.raises(RowError, match=r"label: is 'maybe'; write true \(good\) or false \(bad\)"):
        format_readers.read_labels({"prompt": "Q", "response": "A", "label": "maybe"})


def test_a_prompt_ends_before_the_last_response() -> None:
    assert format_readers.read_prompts({"messages": TALK}) == [ParsedExample((Q,))]
    assert format_readers.read_prompts({"messages": TALK + TALK[:1]}) == [ParsedExample((Q, A, Q))]
    assert format_readers.read_prompts({"instruction": "Q"}) == [ParsedExample((Q,))]
    assert format_readers.read_prompts({"question": "Q"}) == [ParsedExample((Q,))]
    assert format_readers.read_turns({"turns": ["Q", "more"]}) == [ParsedExample((Q,))]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"instruction": "Q", "output": ""}, "output: is empty; fill it or delete the row"),
        ({"instruction": "Q", "output": 42}, "output: is the number 42; write it as text"),
        ({"instruction": None, "output": "A"}, "instruction: is missing or null"),
        ({"instruction": "Q", "output": "A", "history": [["a"]]}, "history[0]: is ['a']; write"),
        ({"instruction": "Q", "output": "A", "history": 3}, "history: is the number 3"),
    ],
)
def test_what_is_wrong_with_an_instruction_is_reported(fields: Fields, message: str) -> None:
    with pytest.raises(RowError) as caught:
        format_readers.read_alpaca(fields)
    assert message in str(caught.value)


def test_tools_are_reported_and_not_dropped() -> None:
    with pytest.raises(
        RowError, match="tools: contains tools, which are not supported; describe them"
    ):
        format_readers.read_messages({"messages": TALK, "tools": [{"name": "f"}]})
    with pytest.raises(RowError, match=r"instances\[0\]: is 'a'; write it as"):
        format_readers.read_instances({"instruction": "Q", "instances": ["a"]})


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (TALK, "prompt: ends with a turn of role assistant; end it with a user turn"),
        (
            [{"role": "system", "content": "S"}],
            "prompt: ends with a turn of role system; end it with a user turn",
        ),
        ([TALK[1]], "prompt: turn 1 has role assistant"),
        (HH + "A", "prompt: ends with a turn of role assistant"),
    ],
)
def test_a_prompt_ends_with_the_user(prompt: object, message: str) -> None:
    for read in (format_readers.read_prompt_response, format_readers.read_prompts):
        with pytest.raises(RowError) as caught:
            read({"prompt": prompt, "response": "A"})
        assert str(caught.value).startswith(message)
    with pytest.raises(RowError):
        format_readers.read_ranked({"prompt": prompt, "responses": ["A", "B"], "ranks": [1, 2]})
