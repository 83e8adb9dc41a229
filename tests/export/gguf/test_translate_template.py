"""Chat templates in Ollama's language: equal renderings, or no translation."""

from collections.abc import Sequence

import pytest

from tests.gguf_models import CHATML
from upbring.data.chat.default_template import DEFAULT_TEMPLATES
from upbring.data.chat.template import ChatTemplate
from upbring.data.read.records import Message
from upbring.export.gguf.translate_template import (
    DIALOGUES,
    Translation,
    render_ollama,
    translate_template,
)

TOKENS = {"bos_token": "<bos>", "eos_token": "<eos>"}
GEMMA = (
    "{{ bos_token }}{%- if messages[0]['role'] == 'system' -%}"
    "{%- set first = messages[0]['content'] + '\n\n' -%}{%- set loop_messages = messages[1:] -%}"
    "{%- else -%}{%- set first = '' -%}{%- set loop_messages = messages -%}{%- endif -%}"
    "{%- for message in loop_messages -%}"
    "{%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}"
    "{{ '<start_of_turn>' + role + '\n' + (first if loop.first else '') }}"
    "{{ message['content'] | trim }}{{ '<end_of_turn>\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<start_of_turn>model\n' }}{%- endif -%}"
)
LLAMA3 = (
    "{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] + "
    "'<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}"
    "{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
SMOLLM = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are helpful.<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
WITHOUT_THOUGHTS = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n'}}"
    "{{ message['content'].split('</think>')[-1] }}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
NUMBERED = (
    "{% for message in messages %}{{ loop.index }}. {{ message['role'] }}: "
    "{{ message['content'] }}<eos>{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def translated(source: str, *, bos: str = "") -> Translation | None:
    template = ChatTemplate(source)

    def jinja(messages: Sequence[Message], is_open: bool) -> str:  # noqa: FBT001 -- as Render
        rendering = template.render(
            messages, add_generation_prompt=is_open, special_tokens_map=TOKENS
        )
        return rendering.text

    return translate_template(jinja, bos=bos)


@pytest.mark.parametrize(
    ("source", "bos", "strips"),
    [
        (CHATML, "", False),
        (SMOLLM, "", False),
        (GEMMA, "<bos>", True),
        (LLAMA3, "<bos>", True),
        (DEFAULT_TEMPLATES[0], "", True),
        (DEFAULT_TEMPLATES[1], "<bos>", True),
    ],
)
def test_known_templates_are_translated_exactly(source: str, bos: str, strips: bool) -> None:  # noqa: FBT001 -- a parameter
    found = translated(source, bos=bos)
    assert found is not None
    assert found.strips_contents == strips
    assert "<bos>" not in found.text


def test_the_translation_of_chatml_reads_like_ollamas_own() -> None:
    found = translated(CHATML)
    assert found is not None
    assert render_ollama(found.text, DIALOGUES[3]) == (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n"
        "<|im_start|>assistant\nHi!<|im_end|>\n<|im_start|>user\nHow are you?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    # an answer that is to be continued is not closed
    assert render_ollama(found.text, [*DIALOGUES[0], Message("assistant", "Hi,")]).endswith("Hi,")


def test_a_system_message_is_where_gemma_has_it() -> None:
    found = translated(GEMMA, bos="<bos>")
    assert found is not None
    assert render_ollama(found.text, DIALOGUES[1]) == (
        "<start_of_turn>user\nBe kind.\n\nHello<end_of_turn>\n<start_of_turn>model\n"
    )


@pytest.mark.parametrize("source", [WITHOUT_THOUGHTS, NUMBERED, CHATML + '"""'])
def test_a_template_that_does_more_is_not_translated(source: str) -> None:
    assert translated(source) is None
