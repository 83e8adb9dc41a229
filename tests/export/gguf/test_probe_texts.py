from upbring.export.gguf.probe_texts import PIECES, probe_texts


def test_there_are_two_hundred_different_texts_each_time_the_same() -> None:
    texts = probe_texts()
    assert texts == probe_texts()
    assert len({*texts}) == len(texts) == 200
    assert texts[: len(PIECES)] == [*PIECES]
    assert any(any(ord(c) > 0x1F000 for c in text) for text in texts)
