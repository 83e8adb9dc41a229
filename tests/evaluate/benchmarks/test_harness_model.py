"""Requests of lm-evaluation-harness go through the answer cache."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed: upbring[eval]")

from upbring.data.chat.chat import make_chat
from upbring.evaluate import plain_text
from upbring.evaluate.answer_cache import AnswerCache
from upbring.evaluate.benchmarks.harness_model import HarnessModel
from upbring.evaluate.local_model import LocalModel
from upbring.evaluate.plain_text import BenchmarkModel
from upbring.model.load import load


@dataclass
class Request:
    args: tuple[Any, ...]


@pytest.fixture(scope="module")
def local(model_folder: Path) -> LocalModel:
    cpu = torch.device("cpu")
    loaded = load(str(model_folder), device=cpu, compute_dtype=torch.float32, log=lambda _: None)
    assert loaded.tokenizer is not None
    return LocalModel("small", "small", loaded.model, make_chat(loaded.tokenizer), max_tokens=12)


def test_requests_are_answered_once_in_their_order(local: LocalModel) -> None:
    loads: list[int] = []

    def bring() -> LocalModel:
        loads.append(1)
        return local

    journal = AnswerCache()
    harness_model = HarnessModel(BenchmarkModel(local, bring), journal, suite="harness", seed=0)
    pairs = [("The sky is", " red"), ("The sea is", " cold and tall")]
    expected = [(w.logprob, w.is_greedy) for w in plain_text.score_continuations(local, pairs)]
    assert harness_model.loglikelihood([Request(p) for p in pairs]) == expected
    whole = harness_model.loglikelihood_rolling([Request((text,)) for text, _ in pairs])
    assert whole == pytest.approx(plain_text.rolling_logprobs(local, [text for text, _ in pairs]))
    how = {"until": ["."], "max_gen_toks": 5, "do_sample": True, "temperature": 1.0}
    drawn = harness_model.generate_until([Request(("The sky is", how))] * 2)
    assert drawn[0] != drawn[1]  # a repeated request is sampled again
    (greedy,) = harness_model.generate_until([Request(("The sky is", {"max_gen_toks": 5}))])
    assert (
        greedy
        == plain_text.generate_texts(
            local, [plain_text.GenerationRequest("The sky is", (), 5, 0.0, 1.0, 0)]
        )[0]
    )
    count = len(loads)
    again = HarnessModel(BenchmarkModel(local, bring), journal, suite="harness", seed=0)
    assert again.generate_until([Request(("The sky is", how))] * 2) == drawn
    assert again.loglikelihood([Request(p) for p in pairs]) == expected
    assert len(loads) == count
