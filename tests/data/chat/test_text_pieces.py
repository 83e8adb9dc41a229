import numpy as np

from tests.data.chat_families import FAMILIES, codec
from upbring.data.chat.template import Rendering
from upbring.data.chat.text_pieces import (
    Draft,
    Piece,
    TextPart,
    cut_into_pieces,
    encode_drafts,
    find_special_spans,
)


def test_quoted_special_tokens_are_not_special_spans() -> None:
    tokenizer = codec(FAMILIES["llama-2"], "gpt2")
    rendering = Rendering("<s>a</s>b</s>", quoted_spans=((4, 8),))
    assert find_special_spans(rendering, tokenizer) == [(0, 3), (9, 13)]


def test_a_piece_is_one_part_unless_it_quotes() -> None:
    tokenizer = codec(FAMILIES["llama-2"], "gpt2")
    rendering = Rendering("<s>ab</s>c</s>d", quoted_spans=((5, 9),))
    special_spans = find_special_spans(rendering, tokenizer)
    first, second = cut_into_pieces(
        rendering, [0, 14, 15], special_spans=special_spans, tokenizer=tokenizer
    )
    assert first == (
        TextPart("<s>", is_continuation=True),
        TextPart("ab</s>c", is_continuation=True, is_trusted=False),
        TextPart("</s>", is_continuation=True),
    )
    assert second == (TextPart("d", is_continuation=True),)


def test_whitespace_that_a_special_token_strips_is_absent_after_a_cut() -> None:
    family = FAMILIES["phi-3-swallowing"]
    tokenizer = codec(family, "gpt2")
    rendering = Rendering("<|user|>\n a<|end|>\nb")
    special_spans = find_special_spans(rendering, tokenizer)
    pieces = cut_into_pieces(
        rendering, [0, 9, 18, 20], special_spans=special_spans, tokenizer=tokenizer
    )
    texts = ["".join(part.text for part in piece) for piece in pieces]
    assert texts == ["<|user|>\n", "a<|end|>", "b"]


def test_a_draft_is_encoded_to_a_tree_with_its_weights() -> None:
    tokenizer = codec(FAMILIES["llama-2"], "gpt2")
    a, b = TextPart("a", is_continuation=True), TextPart("b", is_continuation=True)
    draft = Draft(
        (Piece((a, b), 0.0),), ((Piece((a,), 1.0), Piece((b, b), 0.0)), (Piece((b,), 1.0),)), "key"
    )
    (tree,) = encode_drafts([draft], tokenizer)
    (A,), (B,) = tokenizer.encode("a"), tokenizer.encode("b")
    assert tree.prompt.tolist() == [A, B]
    assert tree.branches[0].tokens.tolist() == [A, B, B]
    assert tree.branches[0].weight.tolist() == [1, 0, 0]
    assert tree.branches[1].tokens.tolist() == [B]
    assert tree.prompt.dtype == tree.branches[0].tokens.dtype == np.int32
