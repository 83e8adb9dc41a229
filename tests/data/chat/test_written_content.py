import pytest

from tests.checking import CHATML, encoding
from upbring.data.chat.chat import make_chat
from upbring.data.chat.written_content import missing_words, require_written
from upbring.data.read.records import Message
from upbring.errors import InputError

ASK, SAY = Message("user", "Why is the sky blue?"), Message("assistant", "Light scatters.")
PARTS = (
    "{% for m in messages %}<|im_start|>{{ m.role | capitalize }}: "
    "{% for part in m.content %}{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>Assistant:"
    "{% endif %}"
)
ONLY_ASSISTANT_PARTS = CHATML.replace(
    "{{ m.content }}",
    "{% if m.role == 'assistant' %}{% for part in m.content %}{{ part['text'] }}{% endfor %}"
    "{% else %}{{ m.content }}{% endif %}",
)


@pytest.mark.parametrize(
    ("content", "text", "missing"),
    [
        ("4", "user: 4", []),
        (" 4 ", "user: 4", []),
        ("4", "user: ", ["4"]),
        ("🙂!", "user: ", ["🙂", "!"]),
        ("is it", "assistant edition", ["is", "it"]),
        ("a  b", "user: a b", []),
        ("<think>x</think>y", "y", ["think", "x", "think"]),
    ],
)
def test_words_are_missing_if_the_text_does_not_contain_them(
    content: str, text: str, missing: list[str]
) -> None:
    assert missing_words(content, text) == missing


def test_long_contents_are_searched_in_part() -> None:
    content = " ".join(f"word{k}" for k in range(100_000))
    assert len(missing_words(content, "nothing")) <= 200
    with pytest.raises(InputError):
        require_written(content, "nothing", role="user")
    require_written(content, f"user: {content}", role="user")


@pytest.mark.parametrize(
    ("template", "role"), [(PARTS, "user"), (ONLY_ASSISTANT_PARTS, "assistant")]
)
def test_a_template_that_writes_nothing_of_a_text_is_rejected(template: str, role: str) -> None:
    chat = encoding(template).chat
    message = f"does not write the text of the {role} message"
    with pytest.raises(InputError, match=message):
        chat.encode_demonstration([ASK, SAY], turns="all", key="")
    with pytest.raises(InputError, match=message):
        chat.encode_comparison([ASK], ["Yes.", "No."], key="")
    if role == "user":
        with pytest.raises(InputError, match=message):
            chat.encode_prompt([ASK])


def test_a_template_that_writes_part_of_the_last_turn_is_accepted() -> None:
    template = CHATML.replace("{{ m.content }}", "{{ m.content.split('</think>')[-1] }}")
    chat = make_chat(encoding(CHATML).tokenizer, template=template)
    answer = Message("assistant", "<think>Hm.</think>Light scatters.")
    tree = chat.encode_demonstration([ASK, answer], turns="last", key="")
    assert chat.tokenizer.decode(tree.branches[0].tokens.tolist()).strip() == "Light scatters."
