from pathlib import Path

from upbring.data.chat.chat import make_chat
from upbring.data.chat.tokenizer_files import load_tokenizer
from upbring.data.chat.tool_dialogue import encode_tool_dialogue

TEMPLATE = (
    "{% for m in messages %}{{ m.content }}{% for c in m.calls %}{{ c.name }}{% endfor %}"
    "{{ eos_token }}{% endfor %}{{ tools | tojson }}{% if add_generation_prompt %}>{% endif %}"
)


def test_special_tokens_in_calls_and_tools_are_plain_text(model_folder: Path) -> None:
    chat = make_chat(load_tokenizer(model_folder), template=TEMPLATE)
    quoted = "a <|endoftext|> b"
    messages = [{"role": "user", "content": quoted, "calls": [{"name": quoted}]}]
    tokens = encode_tool_dialogue(chat, messages, [{"about": quoted}])
    text = chat.tokenizer.decode(tokens, with_special_tokens=True)
    assert text == f'{quoted}{quoted}<|endoftext|>[{{"about": "{quoted}"}}]>'
    assert tokens.count(0) == 1
