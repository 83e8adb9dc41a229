from tests.serve.http.serving import SmallServer


def test_tokens_have_the_bytes_of_their_text(server: SmallServer) -> None:
    texts = server.served.texts
    text = "naïve 🦉, end"
    tokens = texts.tokenizer.encode(text, is_continuation=True)
    assert b"".join(texts.token_bytes(t) for t in tokens) == text.encode()
    assert texts.token_text(0) == "<|endoftext|>"
    owl = texts.tokenizer.encode("🦉", is_continuation=True)
    assert len(owl) > 1
    assert texts.token_text(owl[0]).startswith("bytes:\\xf0")
    assert len({texts.token_text(t) for t in range(texts.tokenizer.size)}) == texts.tokenizer.size


def test_offsets_count_whole_characters(server: SmallServer) -> None:
    texts = server.served.texts
    tokens = texts.tokenizer.encode("a🦉b", is_continuation=True)
    offsets = texts.offsets(tokens, start=10)
    assert (offsets[0], offsets[-1]) == (10, 12)
    assert set(offsets[1:-1]) == {11}
