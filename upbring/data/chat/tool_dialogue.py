"""Encodes a dialogue with tools for inference: the template gets the tools and calls as they are.

A special token that is spelled inside of a message, a call or a tool's description is plain text,
as in dialogues without tools.
"""

from collections.abc import Mapping, Sequence

from upbring.data.chat import text_pieces
from upbring.data.chat.chat import Chat


def encode_tool_dialogue(
    chat: Chat, messages: Sequence[Mapping[str, object]], tools: Sequence[Mapping[str, object]]
) -> list[int]:
    """Return the prompt tokens after which the model generates the next assistant turn."""
    tokenizer = chat.tokenizer
    rendering = chat.compiled_template.render_values(
        messages,
        tools,
        special_tokens_map=tokenizer.special_tokens_map,
        special_pattern=tokenizer.special_pattern,
    )
    parts = text_pieces.cut_into_pieces(
        rendering,
        [0, len(rendering.text)],
        special_spans=text_pieces.find_special_spans(rendering, tokenizer),
        tokenizer=tokenizer,
    )
    return [token for tokens in text_pieces.encode_pieces(parts, tokenizer) for token in tokens]
