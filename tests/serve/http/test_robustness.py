"""Random requests, disconnects and many streams: no failure, no leak, no mixed-up response."""

import http.client
import json
import random
import threading
from typing import Any

from tests.conftest import Figure, trials
from tests.serve.http.serving import SmallServer

VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 0.5, 1e308, -1e308, 10**30, "", "x", "hello", "🦉", "\ud800"),
    *([], {}, [1], ["x"], [[1, 2], [3]], [None], {"type": "text"}, {"a": {"b": []}}, [{}], "\x00"),
    *({"type": "json_object"}, {"type": "json_schema", "json_schema": {"schema": {}}}, "small"),
    *("bold", "judge", "auto", "<|endoftext|>", [{"role": "user", "content": "hi"}], ["a", "b"]),
    *([{"role": "assistant", "content": "hi"}, {"role": "tool", "content": "x"}], {"5": 3}),
]
FIELDS = (
    *("model", "messages", "prompt", "max_tokens", "max_completion_tokens", "temperature", "top_p"),
    *("top_k", "min_p", "n", "seed", "stop", "logprobs", "top_logprobs", "echo", "stream", "tools"),
    *("logit_bias", "presence_penalty", "frequency_penalty", "repetition_penalty", "tool_choice"),
    *("response_format", "structured_outputs", "stream_options", "text_1", "text_2", "responses"),
    *("tokens", "add_special_tokens", "stop_token_ids", "best_of", "suffix", "user", "input"),
    *("instructions", "previous_response_id", "max_output_tokens", "ignore_eos", "documents"),
)
PATHS = (
    *("/v1/chat/completions", "/v1/completions", "/v1/score", "/pooling", "/tokenize"),
    *(
        "/detokenize",
        "/v1/models",
        "/v1/models/x",
        "/health",
        "/metrics",
        "/v1/responses",
        "/",
        "/x",
    ),
)
GOOD = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hello"}]},
    "/v1/completions": {"prompt": "hello"},
    "/v1/score": {"model": "judge", "text_1": "a", "text_2": "b"},
    "/tokenize": {"prompt": "hello"},
    "/v1/responses": {"input": "hello"},
}


def random_request(numbers: random.Random) -> tuple[str, str, bytes]:
    """Return method, path and body of a request that is nearly right, or not at all."""
    path = numbers.choice(PATHS)
    method = numbers.choices(["POST", "GET", "PUT"], [12, 2, 1])[0]
    if numbers.random() < 0.05:
        return method, path, numbers.randbytes(numbers.randrange(40))
    body: dict[str, Any] = {**GOOD.get(path, {}), "max_tokens": numbers.randrange(4)}
    for _ in range(numbers.randrange(4)):
        body[numbers.choice(FIELDS)] = numbers.choice(VALUES)
    if isinstance(body.get("n"), int) and body["n"] > 4:
        body["n"] = 4
    text = json.dumps(body)
    if numbers.random() < 0.05:
        cut = numbers.randrange(len(text))
        text = text[:cut] + numbers.choice('{}[]":,0') + text[cut + 1 :]
    return method, path, text.encode()


def test_no_request_makes_the_server_fail(server: SmallServer, figure: Figure) -> None:
    numbers, count, statuses = random.Random(1), trials(120, 10_000), dict[int, int]()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    for _ in range(count):
        method, path, body = random_request(numbers)
        connection.request(method, path, body)
        response = connection.getresponse()
        text = response.read()
        assert response.status < 500, (method, path, body, text)
        if response.status >= 400:
            assert json.loads(text)["error"]["message"], (method, path, body)
        assert b"the server failed" not in text, (method, path, body)
        statuses[response.status] = statuses.get(response.status, 0) + 1
    connection.close()
    assert statuses[200] > count / 10
    figure("random requests by status", dict(sorted(statuses.items())))


def _ask(server: SmallServer, number: int, numbers: random.Random, wrong: list[object]) -> None:
    """Stream the echo of a nonce; perhaps disconnect in the middle."""
    letters = "".join(chr(97 + number // 26**i % 26) for i in range(3))
    is_leaving = numbers.random() < 0.5
    body = {"prompt": f"red {letters}", "max_tokens": 24, "seed": number, "stream": True}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    try:
        connection.request("POST", "/v1/completions", json.dumps(body))
        response = connection.getresponse()
        if is_leaving:
            response.read(numbers.randrange(1, 600))
            return
        events = response.read().decode().split("\n\n")
        text = "".join(
            json.loads(each[6:])["choices"][0]["text"]
            for each in events
            if each and "[DONE]" not in each
        )
    finally:
        connection.close()
    whole = server.post("/v1/completions", **{**body, "stream": False})
    if whole["choices"][0]["text"] != text:
        wrong.append((number, text, whole["choices"][0]["text"]))


def test_streams_are_not_mixed_up_by_disconnects(server: SmallServer) -> None:
    count, width, wrong = trials(48, 1000), 32, list[object]()
    numbers = random.Random(2)
    seeds = [(i, random.Random(numbers.random())) for i in range(count)]
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                if not seeds:
                    return
                number, own = seeds.pop()
            _ask(server, number, own, wrong)

    threads = [threading.Thread(target=work) for _ in range(width)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    engine = server.served.engine
    server.post("/v1/completions", prompt="red", max_tokens=1)
    assert engine.call(lambda: len(engine._requests)).result(60) == 0
    assert engine.pools is not None
    assert engine.call(lambda: [s for s in engine.pools.slots() if s.is_used]).result(60) == []  # type: ignore[union-attr] # checked
