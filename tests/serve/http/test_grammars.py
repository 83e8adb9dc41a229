import pytest

from tests.serve.http.serving import SmallServer
from upbring.serve.http.api_errors import ApiError
from upbring.serve.http.grammars import GrammarConstraint, matcher_class

pytest.importorskip("llguidance", reason="structured output needs upbring[serve]")


def test_only_tokens_of_the_grammar_are_allowed_and_then_the_end(server: SmallServer) -> None:
    tokenizer = server.served.texts.tokenizer
    grammar = str(matcher_class().grammar_from_lark('start: "ab" | "ad"'))
    constraint = GrammarConstraint(server.served.grammar_tokenizer((0,)), grammar, (0,))
    a, b, c, d = (tokenizer.encode(each, is_continuation=True)[0] for each in "abcd")
    mask = constraint.allowed()
    assert mask.shape == (320,)
    assert (bool(mask[a]), bool(mask[b]), bool(mask[0])) == (True, False, False)
    constraint.accept(a)
    assert [bool(constraint.allowed()[each]) for each in (a, b, c, d)] == [False, True, False, True]
    constraint.accept(b)
    assert constraint.allowed().nonzero().flatten().tolist() == [0]


def test_a_wrong_grammar_is_an_error(server: SmallServer) -> None:
    with pytest.raises(ApiError, match="response_format"):
        GrammarConstraint(server.served.grammar_tokenizer((0,)), "start: ((", (0,))
