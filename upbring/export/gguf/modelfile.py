"""The Modelfile of Ollama: the file, its template in Ollama's language, and what ends a turn."""

from collections.abc import Sequence
from dataclasses import dataclass

from upbring.data.chat.chat import Chat
from upbring.data.read.records import Message
from upbring.export.gguf.translate_template import Translation, translate_template

MODELFILE = "Modelfile"
DEFAULT_CONTEXT = 4096  # tokens; Ollama uses that many unless told otherwise
NOT_TRANSLATED = (
    "the chat template cannot be written exactly in Ollama's language, so the Modelfile has no "
    "TEMPLATE; Ollama uses the nearest template that it knows. Use llama.cpp, which reads the "
    "template in the file, or train with another --chat-template"
)
STRIPS = (
    "the chat template strips white space around contents and Ollama cannot: send contents without "
    "it"
)

CONTINUES = Translation("{{ .Prompt }}", strips_contents=False)  # of a model without a template


@dataclass(frozen=True)
class Modelfile:
    """The text of the file, and what the user has to know."""

    text: str
    warnings: list[str]


def make_modelfile(
    file_name: str,
    *,
    chat: Chat | None,
    stops: list[str],
    adds_bos: bool,
    context_length: int | None,
) -> Modelfile:
    """Return the Modelfile for a GGUF file beside it; without a chat, text is continued."""
    lines = [f"FROM ./{file_name}"]
    warnings = []
    translation = CONTINUES if chat is None else _translate(chat, adds_bos=adds_bos)
    if translation is None:
        warnings.append(NOT_TRANSLATED)
    else:
        lines.append(f'TEMPLATE """{translation.text}"""')
        if translation.strips_contents:
            warnings.append(STRIPS)
    lines += [f'PARAMETER stop "{_quoted(stop)}"' for stop in stops]
    if context_length is not None and context_length < DEFAULT_CONTEXT:
        lines.append(f"PARAMETER num_ctx {context_length}")
    return Modelfile("\n".join(lines) + "\n", warnings)


def _translate(chat: Chat, *, adds_bos: bool) -> Translation | None:
    def jinja(messages: Sequence[Message], is_open: bool) -> str:  # noqa: FBT001 -- as Render
        return chat.render(messages, add_generation_prompt=is_open)

    return translate_template(jinja, bos=chat.tokenizer.bos_token if adds_bos else "")


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
