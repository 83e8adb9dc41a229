"""A server with a base model, an adapter and a reward model, and the requests of the tests."""

import contextlib
import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tests.serve.engine.engines import load_small
from tests.web.served import serving
from upbring.data.chat.chat import make_chat
from upbring.model.load import LoadedModel
from upbring.serve.engine.forward import make_step_forward
from upbring.serve.http.api import make_app
from upbring.serve.http.served_models import ServedModel, ServedModels
from upbring.serve.server_models import ServerLimits, make_served_models
from upbring.settings.model import AdapterSettings
from upbring.web.guard import GuardOptions
from upbring.web.request_limits import RequestLimits
from upbring.web.server import ServerOptions

OPEN = ServerOptions(
    guard=GuardOptions(is_open=True),
    limits=RequestLimits(per_second=1e6, burst=1_000_000),
    max_connections=512,
    idle_seconds=60,
)
TOOL_TEMPLATE = (
    "{% if tools %}<tools>{{ tools | tojson }}</tools>\n{% endif %}"
    "{% for message in messages %}### {{ message['role'] }}\n{{ message['content'] | trim }}"
    "{% for call in message.tool_calls %}<tool_call>{{ call.function | tojson }}</tool_call>"
    "{% endfor %}{{ eos_token if message['role'] == 'assistant' else '' }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}### assistant\n{% endif %}"
)


@dataclass(frozen=True, eq=False)
class SmallServer:
    """A running server and what it serves."""

    port: int
    served: ServedModels
    loaded: LoadedModel

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def ask(self, path: str, body: object = None, *, method: str | None = None) -> tuple[int, Any]:
        """Send a request; return status and JSON (or text) of the response."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            if body is None:
                connection.request(method or "GET", path)
            else:
                connection.request(method or "POST", path, data)
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        with contextlib.suppress(ValueError):
            return response.status, json.loads(text)
        return response.status, text

    def post(self, path: str, **fields: Any) -> Any:
        """Send a request that must succeed."""
        status, found = self.ask(path, fields)
        assert status == 200, found
        return found

    def reject(self, path: str, **fields: Any) -> dict[str, Any]:
        """Send a request that must be rejected with status 400; return its error."""
        status, found = self.ask(path, fields)
        assert status == 400, found
        error: dict[str, Any] = found["error"]
        assert set(error) == {"message", "type", "param", "code"}
        return error

    def stream(self, path: str, **fields: Any) -> list[Any]:
        """Return the events of a streamed response, without its end."""
        status, text = self.ask(path, {**fields, "stream": True})
        assert status == 200, text
        events = [each.removeprefix("data: ") for each in text.split("\n\n") if each]
        assert events[-1] == "[DONE]"
        return [json.loads(each) for each in events[:-1]]


def make_small_served(
    folder: Path, *, limits: ServerLimits | None = None
) -> tuple[LoadedModel, ServedModels]:
    """Return a loaded model and its served models: base, adapter `bold` and reward `judge`."""
    loaded = load_small(folder)
    served = make_served_models(
        loaded, "small", [], limits=limits or ServerLimits(), log=lambda _: None
    )
    for seed, name in enumerate(("bold", "judge")):
        loaded.roles.add_adapter(name, AdapterSettings(rank=2), seed=seed)
        generator = torch.Generator().manual_seed(seed)
        for parameter in loaded.roles.parameters(name).values():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1
    loaded.roles.add_head("judge", seed=1)
    step_forward = make_step_forward(loaded.model, loaded.roles, ["bold", "judge"])
    served.engine.step_forward = step_forward
    assert loaded.tokenizer is not None
    chat = make_chat(loaded.tokenizer, template=TOOL_TEMPLATE)
    plain = make_chat(loaded.tokenizer)
    models = [
        ServedModel("small", chat),
        ServedModel("bold", chat, "bold"),
        ServedModel("judge", plain, "judge", loaded.roles.heads["judge"]),
    ]
    by_name = {each.name: each for each in models}
    return loaded, ServedModels(served.engine, loaded.model, loaded.roles, by_name, served.texts)


@contextlib.contextmanager
def running_server(
    folder: Path, *, limits: ServerLimits | None = None, options: ServerOptions = OPEN
) -> Iterator[SmallServer]:
    """Serve the small models until the block ends."""
    loaded, served = make_small_served(folder, limits=limits)
    served.engine.start()
    try:
        with serving(make_app(served), options=options) as address:
            yield SmallServer(address.address.port, served, loaded)
    finally:
        served.engine.stop()
