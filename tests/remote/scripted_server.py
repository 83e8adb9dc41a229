"""A local server whose replies a test decides: a real one, over HTTP."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

Body = Mapping[str, Any]


class Request(NamedTuple):
    """What the server received."""

    path: str
    body: Body
    authorization: str | None


class Scripted(NamedTuple):
    """One reply; bytes are sent as they are."""

    status: int = 200
    content: object = None
    headers: Mapping[str, str] = {}


Answer = Callable[[Body], Scripted]


class ScriptedServer(ThreadingHTTPServer):
    """Answers each request with the next scripted reply, or else with `answer`."""

    daemon_threads = True
    request_queue_size = 64
    answer: Answer
    replies: list[Scripted]
    requests: list[Request]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: ScriptedServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(Request(self.path, body, self.headers.get("Authorization")))
        reply = self.server.replies.pop(0) if self.server.replies else self.server.answer(body)
        content = reply.content
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(len(data)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def chat(text: str, *, model: str = "", logprobs: Mapping[str, float] | None = None) -> Scripted:
    """Return a chat completion, with the log-probabilities of its first token if given."""
    choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": text}}
    if logprobs is not None:
        top = [{"token": token, "logprob": value} for token, value in logprobs.items()]
        choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
    usage = {"prompt_tokens": 10, "completion_tokens": 1}
    return Scripted(200, {"choices": [choice], "model": model, "usage": usage})


def shout(body: Body) -> Scripted:
    """Answer with the last message in capitals."""
    return chat(body["messages"][-1]["content"].upper())


@contextmanager
def serving(answer: Answer = shout) -> Iterator[ScriptedServer]:
    """Run a server on this machine until the end of the block."""
    with ScriptedServer(("127.0.0.1", 0), _Handler) as server:
        server.answer, server.replies, server.requests = answer, [], []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
