import numpy as np

from tests.data.chat_families import FAMILIES, codec
from upbring.data.chat.segments import Draft, Part, Piece, control_spans, cut, grow
from upbring.data.chat.template import Rendering


def test_quoted_control_tokens_are_not_among_the_control_tokens() -> None:
    tokenizer = codec(FAMILIES["llama-2"], "gpt2")
    rendering = Rendering("<s>a</s>b</s>", quoted=((4, 8),))
    assert control_spans(rendering, tokenizer) == [(0, 3), (9, 13)]


def test_a_piece_is_one_part_unless_it_quotes() -> None:
    tokenizer = codec(FAMILIES["llama-2"], "gpt2")
    rendering = Rendering("<s>ab</s>c</s>d", quoted=((5, 9),))
    controls = control_spans(rendering, tokenizer)
    first, second = cut(rendering, [0, 14, 15], controls=controls, tokenizer=tokenizer)
    assert first == (
        Part("<s>", is_inside=True),
        Part("ab</s>c", is_inside=True, is_trusted=False),
        Part("</s>", is_inside=True),
    )
    assert second == (Part("d", is_inside=True),)


def test_white_space_that_a_control_token_swallows_is_gone_after_a_cut() -> None:
    family = FAMILIES["phi-3-swallowing"]
    tokenizer = codec(family, "gpt2")
    rendering = Rendering("<|user|>\n a<|end|>\nb")
    controls = control_spans(rendering, tokenizer)
    pieces = cut(rendering, [0, 9, 18, 20], controls=controls, tokenizer=tokenizer)
    texts = ["".join(part.text for part in piece) for piece in pieces]
    assert texts == ["<|user|>\n", "a<|end|>", "b"]


def test_a_draft_grows_into_a_tree_with_its_weights() -> None:
    tokenizer = codec(FAMILIES["llama-2"], "gpt2")
    a, b = Part("a", is_inside=True), Part("b", is_inside=True)
    draft = Draft(
        (Piece((a, b), 0.0),), ((Piece((a,), 1.0), Piece((b, b), 0.0)), (Piece((b,), 1.0),)), "key"
    )
    (tree,) = grow([draft], tokenizer)
    (A,), (B,) = tokenizer.encode("a"), tokenizer.encode("b")
    assert tree.prompt.tolist() == [A, B]
    assert tree.branches[0].tokens.tolist() == [A, B, B]
    assert tree.branches[0].weight.tolist() == [1, 0, 0]
    assert tree.branches[1].tokens.tolist() == [B]
    assert tree.prompt.dtype == tree.branches[0].tokens.dtype == np.int32
