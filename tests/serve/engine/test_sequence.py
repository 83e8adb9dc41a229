from pathlib import Path

import pytest

from tests.serve.engine.engines import make_job
from upbring.data.chat.tokenizer import Tokenizer
from upbring.data.chat.tokenizer_files import load_tokenizer
from upbring.serve.engine.requests import SampleProgress, TokenLogprob
from upbring.serve.engine.sequence import make_sequences


@pytest.fixture(scope="module")
def tokenizer(model_folder: Path) -> Tokenizer:
    return load_tokenizer(model_folder)


def feed(tokenizer: Tokenizer, text: str, **settings: object) -> list[SampleProgress]:
    request = make_job([1, 2], **settings).request
    (sequence,) = make_sequences(request, tokenizer)
    reports = []
    for token in tokenizer.encode(text, is_continuation=True):
        if report := sequence.accept(TokenLogprob(token, -1.0)):
            reports.append(report)
        if sequence.finish_reason is not None:
            break
    return reports


def test_every_token_is_reported_once_with_text_or_after_it(tokenizer: Tokenizer) -> None:
    text = "red 🦉 blue"
    tokens = tokenizer.encode(text, is_continuation=True)
    reports = feed(tokenizer, text, max_tokens=len(tokens))
    assert [t.token for report in reports for t in report.tokens] == tokens
    assert "".join(report.text for report in reports) == text
    assert [report.finish_reason for report in reports][-1] == "length"
    assert reports[-1].num_tokens == len(tokens)


def test_a_stop_token_ends_without_text(tokenizer: Tokenizer) -> None:
    (stop,) = tokenizer.encode("e", is_continuation=True)
    reports = feed(tokenizer, "b e", stop_token_ids=frozenset({stop}))
    assert reports[-1].finish_reason == "stop"
    assert not "".join(report.text for report in reports).endswith("e")


def test_a_stop_string_wins_over_the_length(tokenizer: Tokenizer) -> None:
    reports = feed(tokenizer, "xyz", stop=("z",), max_tokens=len(tokenizer.encode("xyz")))
    assert reports[-1].finish_reason == "stop"
    assert "".join(report.text for report in reports) == "xy"
