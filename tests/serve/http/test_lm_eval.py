"""lm-evaluation-harness with the server gives the numbers of the model in memory."""

import math
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed: upbring[eval]")

from lm_eval.api.instance import Instance
from lm_eval.models.openai_completions import LocalChatCompletion, LocalCompletionsAPI

from tests.conftest import Figure, trials
from tests.serve.http.serving import SmallServer
from tests.small import THINGS, WORDS
from upbring.evaluate import plain_text
from upbring.evaluate.local_model import LocalModel

pytestmark = pytest.mark.filterwarnings("ignore")  # the harness has warnings of its own


@pytest.fixture(scope="module")
def local(server: SmallServer) -> LocalModel:
    # the harness sends no BOS: it asks a remote tokenizer for tokens without special tokens
    tokenizer = replace(server.served.texts.tokenizer, adds_bos=False)
    chat = replace(server.served.by_name["judge"].chat, tokenizer=tokenizer)
    return LocalModel("small", "small", server.loaded.model, chat, max_tokens=12)


def requests(kind: str, arguments: list[tuple[Any, ...]]) -> list[Instance]:
    return [Instance(kind, {}, each, index) for index, each in enumerate(arguments)]


def pairs() -> list[tuple[str, str]]:
    count = trials(24, 400)
    return [
        (f"Question {i}: what is the {THINGS[i % 8]} like?\nAnswer:", f" {WORDS[i * 3 % 8]} {i}.")
        for i in range(count)
    ]


def test_likelihoods_are_those_in_memory(
    server: SmallServer, local: LocalModel, figure: Figure
) -> None:
    harness = LocalCompletionsAPI(
        base_url=f"{server.url}/completions",
        model="small",
        tokenizer_backend="remote",
        batch_size=8,
        max_length=256,
    )
    found = harness.loglikelihood(requests("loglikelihood", pairs()), disable_tqdm=True)
    exact = server.served.engine.call(
        lambda: plain_text.score_continuations(local, pairs())
    ).result(120)
    differences = [abs(x[0] - y.logprob) for x, y in zip(found, exact, strict=True)]
    figure("harness through the server: largest difference of a log-probability", max(differences))
    for (logprob, is_greedy), expected in zip(found, exact, strict=True):
        num_tokens = 10
        assert math.isclose(logprob, expected.logprob, abs_tol=1e-6 * num_tokens)
        assert is_greedy == expected.is_greedy


def test_generated_texts_are_those_in_memory(server: SmallServer, local: LocalModel) -> None:
    harness = LocalCompletionsAPI(
        base_url=f"{server.url}/completions",
        model="small",
        tokenizer_backend="remote",
    )
    prompts = [f"The {thing} is" for thing in THINGS]
    settings = {"until": ["."], "max_gen_toks": 12, "temperature": 0.0}
    instances = requests("generate_until", [(prompt, settings) for prompt in prompts])
    found = harness.generate_until(instances, disable_tqdm=True)
    exact = server.served.engine.call(
        lambda: plain_text.generate_texts(
            local,
            [plain_text.GenerationRequest(p, (".",), 12, 0.0, 1.0, 0) for p in prompts],
        )
    ).result(120)
    assert found == exact


def test_the_chat_model_generates(server: SmallServer) -> None:
    harness = LocalChatCompletion(base_url=f"{server.url}/chat/completions", model="small")
    settings = {"until": ["."], "max_gen_toks": 6, "temperature": 0.0}
    messages = [{"role": "user", "content": "hello", "type": "text"}]
    context = harness.apply_chat_template(messages)
    (found,) = harness.generate_until(
        requests("generate_until", [(context, settings)]), disable_tqdm=True
    )
    plain = [{"role": "user", "content": "hello"}]
    fields = {"messages": plain, "max_tokens": 6, "temperature": 0, "stop": ["."]}
    reply = server.post("/v1/chat/completions", **fields)
    assert found == reply["choices"][0]["message"]["content"]
