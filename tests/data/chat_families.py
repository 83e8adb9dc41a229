"""Chat templates in the public forms of 22 families, and small tokenizers of every kind."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from upbring.data.tokenizer import Tokenizer as Codec
from upbring.data.tokenizer import make_tokenizer

TEXTS = [
    "What is the capital of France? The capital of France is Paris.",
    "Hello there! How are you today? I am fine, thank you.\n\nAnd you?\n",
    "User assistant system ASSISTANT: USER: Instruction Response ### [INST] think",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z 0 1 2 3 4 5 6 7 8 9",
    "It rains.  Two  spaces,\ttabs and\nnew lines.\n\n\nDone: 2 + 2 = 4; naïve café 😀.",
]


@dataclass(frozen=True)
class Family:
    """A template, the control tokens that it writes, and which of them begin and end a text."""

    template: str
    specials: tuple[str, ...]
    bos: str | None
    eos: str
    stop: str
    takes_system: bool = True
    swallows: bool = False  # the control tokens swallow the white space after them


_CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_CHATML_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

_LLAMA2 = """\
{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}\
{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}\
{% set system_message = false %}{% endif %}{% for message in loop_messages %}\
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\
{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}\
{% endif %}{% if loop.index0 == 0 and system_message != false %}\
{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}\
{% else %}{% set content = message['content'] %}{% endif %}\
{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}\
{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}\
{% endfor %}"""

_LLAMA3 = """\
{% set loop_messages = messages %}{% for message in loop_messages %}\
{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'\
+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}\
{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}\
{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"""

_LLAMA32 = """\
{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Cutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

_MISTRAL = """\
{{ bos_token }}{% for message in messages %}\
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\
{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}\
{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}\
{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}\
{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}\
{% endfor %}"""

# the system message goes before the last user's: an earlier turn's beginning is rewritten
_MISTRAL3 = """\
{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if message == user_messages[-1] and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported!") }}
    {%- endif %}
{%- endfor %}
"""

_GEMMA = """\
{{ bos_token }}{% if messages[0]['role'] == 'system' %}\
{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}\
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\
{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}\
{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}\
{% set role = message['role'] %}{% endif %}\
{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}\
{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"""

_PHI3 = """\
{% for message in messages %}{% if message['role'] == 'system' %}\
{{'<|system|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'user' %}\
{{'<|user|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'assistant' %}\
{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}{% endfor %}\
{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"""

_QWEN25 = """\
{%- if tools %}
    {{- '<|im_start|>system\\n' }}{{- "# Tools" }}{{- "<|im_end|>\\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "tool" %}
        {{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

_QWEN3 = """\
{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {%- if loop.last or (not loop.last and reasoning_content) %}
                {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
            {%- else %}
                {{- '<|im_start|>' + message.role + '\\n' + content }}
            {%- endif %}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""

_ZEPHYR = """\
{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""

_VICUNA = """\
{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'] + ' ' }}\
{% set rest = messages[1:] %}{% else %}{{ 'A chat between a user and an assistant. ' }}\
{% set rest = messages %}{% endif %}{% for message in rest %}{% if message['role'] == 'user' %}\
{{ 'USER: ' + message['content'] + ' ' }}{% elif message['role'] == 'assistant' %}\
{{ 'ASSISTANT: ' + message['content'] + eos_token }}{% endif %}{% endfor %}\
{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"""

_DEEPSEEK = """\
{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}\
{% set ns = namespace(is_first=false, system_prompt='') %}{%- for message in messages %}\
{%- if message['role'] == 'system' %}{% set ns.system_prompt = message['content'] %}{%- endif %}\
{%- endfor %}{{bos_token}}{{ns.system_prompt}}{%- for message in messages %}\
{%- if message['role'] == 'user' %}{{'<｜User｜>' + message['content']}}{%- endif %}\
{%- if message['role'] == 'assistant' %}{{'<｜Assistant｜>' + message['content'] + '<｜end▁of▁sentence｜>'}}\
{%- endif %}{%- endfor %}{% if add_generation_prompt %}{{'<｜Assistant｜>'}}{% endif %}"""

_TULU = """\
{% for message in messages %}{% if message['role'] == 'system' %}\
{{ '<|system|>\n' + message['content'] + '\n' }}{% elif message['role'] == 'user' %}\
{{ '<|user|>\n' + message['content'] + '\n' }}{% elif message['role'] == 'assistant' %}\
{% if not loop.last %}{{ '<|assistant|>\n'  + message['content'] + eos_token + '\n' }}\
{% else %}{{ '<|assistant|>\n'  + message['content'] + eos_token }}{% endif %}{% endif %}\
{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}{% endfor %}"""

_OLMO = "{{ bos_token }}" + _TULU

_COMMAND_R = """\
{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}\
{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}\
{% set system_message = false %}{% endif %}{% if system_message != false %}\
{{ '<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>' + system_message + '<|END_OF_TURN_TOKEN|>' }}{% endif %}\
{% for message in loop_messages %}{% set content = message['content'] %}\
{% if message['role'] == 'user' %}\
{{ '<|START_OF_TURN_TOKEN|><|USER_TOKEN|>' + content.strip() + '<|END_OF_TURN_TOKEN|>' }}\
{% elif message['role'] == 'assistant' %}\
{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>'  + content.strip() + '<|END_OF_TURN_TOKEN|>' }}\
{% endif %}{% endfor %}{% if add_generation_prompt %}\
{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' }}{% endif %}"""

_FALCON = """\
{% for message in messages %}{% if not loop.first %}{{ '\n' }}{% endif %}\
{% if message['role'] == 'system' %}{{ 'System: ' + message['content'] }}\
{% elif message['role'] == 'user' %}{{ 'User: ' + message['content'] }}\
{% elif message['role'] == 'assistant' %}{{ 'Falcon: ' + message['content'] + eos_token }}{% endif %}\
{% endfor %}{% if add_generation_prompt %}{{ '\n' + 'Falcon:' }}{% endif %}"""

_GENERATION = """\
{% for message in messages %}{% if message['role'] == 'assistant' %}\
{{ '<|im_start|>assistant\n' }}{% generation %}{{ message['content'] + '<|im_end|>' }}\
{% endgeneration %}{{ '\n' }}{% else %}\
{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endif %}\
{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""

# the end of the turn is written, but outside of what the template says is generated
_GENERATION_GLM = """\
[gMASK]<sop>{% for message in messages %}{% if message['role'] == 'assistant' %}\
{{ '<|assistant|>\n' }}{% generation %}{{ message['content'] }}{% endgeneration %}\
{{ '<|endoftext|>' }}{% else %}{{ '<|' + message['role'] + '|>\n' + message['content'] }}{% endif %}\
{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"""

# the end of a turn is the beginning of the next
_GLM4 = """\
[gMASK]<sop>{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] }}\
{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"""

_GPT_OSS = """\
{{- '<|start|>system<|message|>Knowledge cutoff: 2024-06\nCurrent date: ' ~ strftime_now('%Y-%m-%d') \
~ '<|end|>' }}{%- for message in messages %}{%- if message.role == 'assistant' %}\
{{- '<|start|>assistant<|channel|>final<|message|>' ~ message.content ~ ('<|return|>' if loop.last \
and not add_generation_prompt else '<|end|>') }}{%- else %}\
{{- '<|start|>' ~ message.role ~ '<|message|>' ~ message.content ~ '<|end|>' }}{%- endif %}\
{%- endfor %}{%- if add_generation_prompt %}{{- '<|start|>assistant' }}{%- endif %}"""

_MACRO = """\
{%- macro turn(role, content) -%}
<|im_start|>{{ role }}
{{ content }}<|im_end|>
{% endmacro -%}
{%- for message in messages -%}
{{ turn(message.role, message.content) }}
{%- endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant
{% endif -%}
"""

_HEADERS = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>")
_GLM_TOKENS = ("<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>")
_PHI_TOKENS = ("<|endoftext|>", "<|assistant|>", "<|system|>", "<|user|>", "<|end|>")
_TURN_TOKENS = ("<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "<|SYSTEM_TOKEN|>")
_COHERE_TOKENS = ("<BOS_TOKEN>", *_TURN_TOKENS, "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>")
_DEEPSEEK_TOKENS = (
    "<｜begin▁of▁sentence｜>",
    "<｜end▁of▁sentence｜>",
    "<｜User｜>",
    "<｜Assistant｜>",
)
_GPT_OSS_TOKENS = ("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|return|>")
_END, _IM_END = "<|endoftext|>", "<|im_end|>"

FAMILIES: dict[str, Family] = {
    "chatml": Family(_CHATML, _CHATML_TOKENS, None, _IM_END, _IM_END),
    "llama-2": Family(_LLAMA2, ("<s>", "</s>"), "<s>", "</s>", "</s>"),
    "llama-3": Family(_LLAMA3, (*_HEADERS, "<|eot_id|>"), _HEADERS[0], "<|eot_id|>", "<|eot_id|>"),
    "llama-3.2": Family(
        _LLAMA32, (*_HEADERS, "<|eot_id|>"), _HEADERS[0], _HEADERS[1], "<|eot_id|>"
    ),
    "mistral": Family(_MISTRAL, ("<s>", "</s>"), "<s>", "</s>", "</s>", takes_system=False),
    "mistral-v3": Family(_MISTRAL3, ("<s>", "</s>", "[INST]", "[/INST]"), "<s>", "</s>", "</s>"),
    "gemma": Family(
        _GEMMA,
        ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
        "<bos>",
        "<eos>",
        "<end_of_turn>",
        takes_system=False,
    ),
    "phi-3": Family(_PHI3, _PHI_TOKENS, None, _END, "<|end|>"),
    "phi-3-swallowing": Family(_PHI3, _PHI_TOKENS, None, _END, "<|end|>", swallows=True),
    "qwen-2.5": Family(_QWEN25, _CHATML_TOKENS, None, _IM_END, _IM_END),
    "qwen-3": Family(_QWEN3, _CHATML_TOKENS, None, _IM_END, _IM_END),
    "zephyr": Family(_ZEPHYR, ("<s>", "</s>"), "<s>", "</s>", "</s>"),
    "vicuna": Family(_VICUNA, ("<s>", "</s>"), "<s>", "</s>", "</s>"),
    "deepseek": Family(_DEEPSEEK, _DEEPSEEK_TOKENS, *_DEEPSEEK_TOKENS[:2], _DEEPSEEK_TOKENS[1]),
    "tulu": Family(_TULU, (_END,), None, _END, _END),
    "olmo": Family(_OLMO, (_END,), _END, _END, _END),
    "command-r": Family(
        _COMMAND_R, _COHERE_TOKENS, "<BOS_TOKEN>", _TURN_TOKENS[1], _TURN_TOKENS[1]
    ),
    "falcon": Family(_FALCON, (_END,), None, _END, _END),
    "generation": Family(_GENERATION, _CHATML_TOKENS, None, _IM_END, _IM_END),
    "glm-generation": Family(_GENERATION_GLM, _GLM_TOKENS, None, _END, _END),
    "glm-4": Family(_GLM4, _GLM_TOKENS, None, _END, "<|user|>"),
    "gpt-oss": Family(_GPT_OSS, _GPT_OSS_TOKENS, None, "<|return|>", "<|return|>"),
    "macro": Family(_MACRO, _CHATML_TOKENS, None, _IM_END, _IM_END),
}


def _gpt2() -> Tokenizer:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=400, show_progress=False, initial_alphabet=alphabet)
    backend.train_from_iterator(TEXTS, trainer)
    return backend


def _qwen() -> Tokenizer:
    backend = _gpt2()
    words = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(words), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return backend


def _sentencepiece(
    normalizer: normalizers.Normalizer | None, splitter: pre_tokenizers.PreTokenizer | None
) -> Tokenizer:
    """BPE over ▁ with bytes for what it does not know, as converted from sentencepiece."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    trainer = trainers.BpeTrainer(vocab_size=250, show_progress=False)
    backend.train_from_iterator(TEXTS, trainer)
    spec = __import__("json").loads(backend.to_str())["model"]
    vocabulary = {"<unk>": 0, **{f"<0x{byte:02X}>": byte + 1 for byte in range(256)}}
    for token in spec["vocab"]:
        vocabulary.setdefault(token, len(vocabulary))
    merges = [tuple(pair) for pair in spec["merges"]]
    model = models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    backend = Tokenizer(model)
    if normalizer is not None:
        backend.normalizer = normalizer
    if splitter is not None:
        backend.pre_tokenizer = splitter
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            *([decoders.Strip(" ", 1, 0)] if splitter or normalizer else []),
        ]
    )
    return backend


def _llama() -> Tokenizer:
    return _sentencepiece(None, pre_tokenizers.Metaspace(prepend_scheme="first", split=False))


def _llama_legacy() -> Tokenizer:
    prepends = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return _sentencepiece(prepends, None)


def _gemma() -> Tokenizer:
    backend = _sentencepiece(normalizers.Replace(" ", "▁"), None)
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return backend


def _unigram() -> Tokenizer:
    backend = Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    backend.decoder = decoders.Metaspace(prepend_scheme="always")
    alphabet = [chr(c) for c in range(32, 127)] + ["\n", "\t"]
    trainer = trainers.UnigramTrainer(
        vocab_size=200,
        show_progress=False,
        initial_alphabet=alphabet,
        special_tokens=["<unk>"],
        unk_token="<unk>",
    )
    backend.train_from_iterator([text * 3 for text in TEXTS], trainer)
    return backend


KINDS: dict[str, Callable[[], Tokenizer]] = {
    "gpt2": _gpt2,
    "qwen": _qwen,
    "llama": _llama,
    "llama-legacy": _llama_legacy,
    "gemma": _gemma,
    "unigram": _unigram,
}


@functools.cache
def _spec(kind: str) -> str:
    return str(KINDS[kind]().to_str())


def codec(family: Family, kind: str) -> Codec:
    """Return a tokenizer of a kind with the control tokens of a family."""
    backend = Tokenizer.from_str(_spec(kind))
    backend.add_special_tokens(
        [AddedToken(s, normalized=False, rstrip=family.swallows) for s in family.specials]
    )
    names = {"eos_token": family.eos} | ({"bos_token": family.bos} if family.bos else {})
    if family.bos:
        backend.post_processor = processors.TemplateProcessing(
            single=f"{family.bos} $A",
            special_tokens=[(family.bos, backend.token_to_id(family.bos))],
        )
    return make_tokenizer(backend, names=names)
