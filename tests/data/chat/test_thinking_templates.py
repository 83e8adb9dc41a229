"""Templates whose generation prompt opens a block that they do not write before an answer."""

import itertools

import pytest

from tests.data.chat_families import FAMILIES, codec
from upbring.data.chat.chat import Chat, make_chat
from upbring.data.read.records import Message
from upbring.errors import InputError

ASSISTANT = "'<|start_header_id|>assistant<|end_header_id|>\\n\\n'"
PROMPT = (
    Message("user", "What is the capital of France?"),
    Message("assistant", "Paris."),
    Message("user", "And of Italy?"),
)
ANSWERS = ["Rome.", "<think"]  # the second begins as the block does


def thinking_chat(opening: str = "<think>\\n") -> Chat:
    template = FAMILIES["llama-3"].template
    assert ASSISTANT in template
    changed = template.replace(ASSISTANT, f"{ASSISTANT[:-1]}{opening}'")
    return make_chat(codec(FAMILIES["llama-3"], "qwen"), template=changed)


def common_prefix(first: str, second: str) -> str:
    """What TRL's apply_chat_template takes as the prompt of a thinking template."""
    pairs = zip(first, second, strict=False)
    return "".join(a for a, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def test_the_prompt_of_a_comparison_ends_before_the_block() -> None:
    chat = thinking_chat()
    plain = make_chat(chat.tokenizer, template=FAMILIES["llama-3"].template)
    tree = chat.encode_comparison(PROMPT, ANSWERS, key="a")
    expected = plain.encode_comparison(PROMPT, ANSWERS, key="a")
    assert tree.prompt.tolist() == expected.prompt.tolist()
    for branch, other in zip(tree.branches, expected.branches, strict=True):
        assert branch.tokens.tolist() == other.tokens.tolist()
        assert branch.weight.tolist() == other.weight.tolist()
    opened = chat.render(PROMPT, add_generation_prompt=True)
    written = chat.render((*PROMPT, Message("assistant", "Rome.")), add_generation_prompt=False)
    text = chat.tokenizer.decode(tree.prompt.tolist(), with_special_tokens=True)
    assert text == common_prefix(opened, written)
    assert chat.encode_prompt(PROMPT) != tree.prompt.tolist()  # inference: with the block


@pytest.mark.parametrize("opening", ["<think>\\n", "<think></think>"])
def test_what_only_a_generated_answer_starts_with_is_known(opening: str) -> None:
    assert thinking_chat(opening).untrained_opening == opening.replace("\\n", "\n")
    plain = make_chat(codec(FAMILIES["llama-3"], "qwen"), template=FAMILIES["llama-3"].template)
    assert plain.untrained_opening == ""


def test_a_text_before_the_answer_that_depends_on_it_is_refused() -> None:
    chat = thinking_chat()
    shown = "{{ message['content'] | length }}"
    varying = (
        "{% for message in messages %}<|start_header_id|>{{ message['role'] }}"
        f"{shown}<|end_header_id|>{{{{ message['content'] }}}}<|eot_id|>{{% endfor %}}"
        "{% if add_generation_prompt %}<|start_header_id|>assistant<think>{% endif %}"
    )
    chat = make_chat(chat.tokenizer, template=varying)
    with pytest.raises(InputError, match=r"ends with .*<think>.*differs from answer to answer"):
        chat.encode_comparison(PROMPT[:1], ["a", "bbb"], key="")
