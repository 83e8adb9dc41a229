"""The official client against the server."""

import asyncio
from pathlib import Path

import pytest

from tests.serve.http.serving import OPEN, SmallServer, running_server
from upbring.serve.engine.requests import EngineRequest, TokenSampling
from upbring.serve.server_models import ServerLimits
from upbring.web.guard import GuardOptions
from upbring.web.server import ServerOptions

openai = pytest.importorskip("openai", reason="the client is a development dependency")

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture
def client(server: SmallServer) -> "openai.OpenAI":
    return openai.OpenAI(base_url=server.url, api_key="none", max_retries=0)


def test_models_are_listed(client: "openai.OpenAI") -> None:
    assert [model.id for model in client.models.list()] == ["small", "bold", "judge"]
    assert client.models.retrieve("bold").id == "bold"


def test_samples_with_logprobs_are_parsed(client: "openai.OpenAI") -> None:
    found = client.chat.completions.create(
        model="small", messages=HELLO, n=2, max_tokens=5, logprobs=True, top_logprobs=3, seed=1
    )
    assert len(found.choices) == 2
    for choice in found.choices:
        assert choice.message.role == "assistant"
        assert all(len(token.top_logprobs) == 3 for token in choice.logprobs.content)
    assert found.usage.completion_tokens == 10


def test_streams_are_those_of_whole_responses(client: "openai.OpenAI") -> None:
    fields = {"model": "small", "messages": HELLO, "max_tokens": 20, "temperature": 0}
    whole = client.chat.completions.create(**fields)
    chunks = list(client.chat.completions.create(stream=True, **fields))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == whole.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason


def test_plain_completions(client: "openai.OpenAI") -> None:
    found = client.completions.create(
        model="small", prompt=[[5, 6, 7]], echo=True, logprobs=1, max_tokens=1, temperature=0
    )
    assert found.choices[0].logprobs.token_logprobs[0] is None
    chunks = client.completions.create(model="small", prompt="red", max_tokens=4, stream=True)
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] is not None


def test_the_asynchronous_client(server: SmallServer) -> None:
    async def ask_all() -> list[str]:
        async with openai.AsyncOpenAI(base_url=server.url, api_key="none") as client:

            async def ask(seed: int) -> str:
                stream = await client.chat.completions.create(
                    model="small", messages=HELLO, max_tokens=8, seed=seed, stream=True
                )
                return "".join([c.choices[0].delta.content or "" async for c in stream])

            return list(await asyncio.gather(*(ask(seed % 4) for seed in range(12))))

    texts = asyncio.run(ask_all())
    assert texts[:4] == texts[4:8] == texts[8:]


def test_errors_have_the_clients_classes(client: "openai.OpenAI") -> None:
    with pytest.raises(openai.BadRequestError, match="temperature: is -1") as caught:
        client.chat.completions.create(model="small", messages=HELLO, temperature=-1)
    assert caught.value.param == "temperature"
    with pytest.raises(openai.NotFoundError, match="is not served here"):
        client.chat.completions.create(model="nope", messages=HELLO)
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="small", messages=[], stream=True)


def test_a_key_is_required_where_there_is_one(model_folder: Path) -> None:
    options = ServerOptions(guard=GuardOptions(identify={"right": "key"}.get), limits=OPEN.limits)
    with running_server(model_folder, options=options) as server:
        wrong = openai.OpenAI(base_url=server.url, api_key="wrong", max_retries=0)
        with pytest.raises(openai.AuthenticationError):
            wrong.models.list()
        assert openai.OpenAI(base_url=server.url, api_key="right").models.list().data


def test_a_full_queue_is_retried_after_a_while(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_server(model_folder, limits=ServerLimits(max_num_seqs=1, max_queue=1)) as server:
        engine = server.served.engine
        long = EngineRequest([5, 6], (1,), TokenSampling(temperature=0.0), 150, lambda _: None)
        monkeypatch.setattr(type(engine), "num_waiting", property(lambda _: 1))
        strict = openai.OpenAI(base_url=server.url, api_key="none", max_retries=0)
        with pytest.raises(openai.RateLimitError) as caught:
            strict.chat.completions.create(model="small", messages=HELLO)
        assert caught.value.response.headers["retry-after"] == "1"
        monkeypatch.undo()
        engine.submit(long)
        patient = openai.OpenAI(base_url=server.url, api_key="none", max_retries=5)
        found = patient.chat.completions.create(model="small", messages=HELLO, max_tokens=2)
        assert found.choices[0].finish_reason in {"length", "stop"}
