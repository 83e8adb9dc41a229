"""Runs llama.cpp on one GGUF file, in a process of its own, because it can abort the process.

    python -m upbring.export.gguf.llama_cpp_program      reads a request as JSON, prints the answers

The request is {"model": path, "threads": n, "texts": […], "prompts": [[token, …], …], "tokens": n,
"top": k}. The server inside listens on 127.0.0.1 only, on a free port.
"""

import json
import sys
import urllib.request
from typing import Any

BATCH = 512
MARGIN = 64  # tokens of the context beyond the longest prompt and its continuation


def main() -> None:
    """Answer the request on stdin."""
    import xllamacpp  # noqa: PLC0415 -- an extra

    request = json.load(sys.stdin)
    server = xllamacpp.Server(_parameters(xllamacpp, request))
    texts = [_tokenize(server, text) for text in request["texts"]]
    answers = {
        "tokens": texts,
        "with_special": _tokenize(server, "a", add_special=True),
        "continuations": [_continue(server, prompt, request) for prompt in request["prompts"]],
    }
    sys.stdout.write(f"\n{json.dumps(answers)}\n")
    sys.stdout.flush()


def _parameters(xllamacpp: Any, request: dict[str, Any]) -> Any:  # noqa: ANN401 -- the library's own
    longest = max((len(prompt) for prompt in request["prompts"]), default=0)
    parameters = xllamacpp.CommonParams()
    parameters.model.path = request["model"]
    parameters.n_ctx = longest + request["tokens"] + MARGIN
    parameters.n_parallel = 1
    parameters.n_batch = parameters.n_ubatch = BATCH
    parameters.n_gpu_layers = 0
    parameters.warmup = False
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    for each in (parameters.cpuparams, parameters.cpuparams_batch):
        each.n_threads = request["threads"]
    # Half-precision keys and values would hide what the weights' own format costs.
    parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    return parameters


def _tokenize(server: Any, text: str, *, add_special: bool = False) -> list[int]:  # noqa: ANN401 -- as above
    body = {"content": text, "add_special": add_special, "parse_special": True}
    tokens: list[int] = _post(server, "tokenize", body)["tokens"]
    return tokens


def _continue(server: Any, prompt: list[int], request: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401 -- as above
    """Return the greedy continuation of a prompt, with the best log-probabilities at each step.

    A step is a request of its own: llama.cpp leaves out the log-probabilities of tokens that end
    within a character, and only so it is known which ones.
    """
    tokens: list[int] = []
    tops: list[dict[int, float]] = []
    for _ in range(request["tokens"]):
        body = {
            "prompt": [*prompt, *tokens],
            "n_predict": 1,
            "temperature": 0,
            "n_probs": request["top"],
            "return_tokens": True,
            "cache_prompt": True,
        }
        answer = _post(server, "completion", body)
        if answer["stop_type"] != "limit":
            return {"tokens": tokens, "top": tops, "is_stopped": True}
        tokens += answer["tokens"]
        steps: list[dict[str, Any]] = answer.get("completion_probabilities") or []
        best = [each for step in steps for each in step["top_logprobs"]]
        tops.append({each["id"]: each["logprob"] for each in best})
    return {"tokens": tokens, "top": tops, "is_stopped": False}


def _post(server: Any, path: str, body: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401 -- as above
    request = urllib.request.Request(  # noqa: S310 -- the address is the server's own
        f"{server.listening_address}/{path}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:  # noqa: S310 -- as above
        answer: dict[str, Any] = json.loads(response.read())
    return answer


if __name__ == "__main__":
    main()
