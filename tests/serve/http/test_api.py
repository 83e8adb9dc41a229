import http.client
import json
import time

from tests.serve.http.serving import SmallServer


def test_models_are_listed_and_described(server: SmallServer) -> None:
    status, found = server.ask("/v1/models")
    assert status == 200
    assert [model["id"] for model in found["data"]] == ["small", "bold", "judge"]
    assert {"id", "object", "created", "owned_by"} <= found["data"][0].keys()
    assert server.ask("/v1/models/bold")[1]["id"] == "bold"
    assert server.ask("/v1/models/nope")[0] == 404


def test_errors_of_paths_and_methods_are_openais(server: SmallServer) -> None:
    for path, body, expected in (("/v2", None, 404), ("/v1/models", {}, 405)):
        status, found = server.ask(path, body)
        assert status == expected
        assert found["error"]["message"]


def test_a_body_that_is_no_json_object_is_rejected(server: SmallServer) -> None:
    for body in (b"", b"{", b"[]", b"\xff", b"NaN", b'{"a": NaN}', b"[" * 5000, b'"x"', b"null"):
        status, found = server.ask("/v1/chat/completions", body)
        assert status == 400, body
        assert "JSON" in found["error"]["message"]


def test_health_and_metrics(server: SmallServer) -> None:
    server.post("/v1/completions", prompt="red", max_tokens=3)
    assert server.ask("/health")[1]["status"] == "ok"
    status, text = server.ask("/metrics")
    assert status == 200
    assert 'upbring_http_responses_total{status="200"}' in text
    assert "upbring_first_token_seconds_bucket" in text


def test_a_disconnect_cancels_the_request(server: SmallServer) -> None:
    stats = server.served.engine.stats
    for is_stream in (True, False):
        before, requests = stats.cancelled, stats.requests
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        body = {"prompt": "red", "max_tokens": 200, "stream": is_stream, "ignore_eos": True, "n": 8}
        connection.request("POST", "/v1/completions", json.dumps(body))
        if is_stream:
            connection.getresponse().read(10)
        while stats.requests == requests:  # until the engine has it
            time.sleep(0.001)
        connection.close()
        for _ in range(200):
            server.post("/v1/completions", prompt="blue", max_tokens=1)
            if stats.cancelled > before:
                break
        assert stats.cancelled == before + 1
