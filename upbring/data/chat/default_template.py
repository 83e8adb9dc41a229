"""The chat template of base models that have none. It needs no new token.

Turns are lines of plain text and contents are trimmed. The text starts with BOS if the tokenizer
adds it, and EOS ends an assistant turn:

    ### User
    What is the capital of France?

    ### Assistant
    Paris.<eos>

    ### User
    …

The markers are plain text, so a message that contains the line `### Assistant` imitates a turn.
`chat.fake_turn_problems` reports such messages.
"""

import re

_TURNS_TEMPLATE = (
    "{% for message in messages %}"
    "### {{ message['role'] | capitalize }}\n"
    "{{ message['content'] | trim }}"
    "{{ eos_token if message['role'] == 'assistant' else '' }}\n\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}### Assistant\n{% endif %}"
)
# Without and with BOS.
DEFAULT_TEMPLATES = (_TURNS_TEMPLATE, "{{ bos_token }}" + _TURNS_TEMPLATE)
TURN_MARKER = "### Assistant"
TURN_MARKER_LINE = re.compile(rf"^{TURN_MARKER}\s*$", re.MULTILINE)
