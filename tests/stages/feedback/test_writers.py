from pathlib import Path

from tests.remote.scripted_server import ScriptedServer
from upbring.data.read.records import Message
from upbring.remote.client import CallLimits
from upbring.settings.model import ModelSettings
from upbring.settings.sampling import SampleSettings
from upbring.stages.feedback.writers import (
    LocalWriter,
    RemoteWriter,
    WriteRequest,
    make_writer,
)
from upbring.stages.open_client import open_calls

PROMPTS = [(Message("user", "Hello?"),), (Message("user", "Who are you?"),)]
SAMPLING = SampleSettings(temperature=1.0, max_tokens=4)


def writer(model: str, path: Path) -> LocalWriter | RemoteWriter:
    return make_writer(
        ModelSettings(model=model, threads=1, dtype="float32"),
        open_calls(path),
        max_tokens=4,
        limits=CallLimits(),
        log=lambda _: None,
        poll=lambda: None,
    )


def test_a_local_model_is_not_loaded_for_texts_that_are_known(tmp_path: Path) -> None:
    first = writer("builtin:sprout", tmp_path / "calls.jsonl")
    texts = first.write(WriteRequest(PROMPTS, [1, 2], SAMPLING, "test"))
    again = writer("builtin:sprout", tmp_path / "calls.jsonl")
    assert again.write(WriteRequest(PROMPTS, [1, 2], SAMPLING, "test")) == texts
    assert isinstance(again, LocalWriter)
    assert again._model is None
    other = SAMPLING.model_copy(update={"temperature": 0.5})
    again.write(WriteRequest(PROMPTS[:1], [1], other, "test"))
    assert len(open_calls(tmp_path / "calls.jsonl")) == 3


def test_a_server_gets_the_settings_and_a_seed_per_text(
    server: ScriptedServer, tmp_path: Path
) -> None:
    remote = writer(f"{server.url}#m", tmp_path / "calls.jsonl")
    sampling = SAMPLING.model_copy(update={"top_p": 0.9, "stop": ("END",)})
    request = WriteRequest([PROMPTS[0]] * 3, [1, 2, 2**40 + 3], sampling, "test")
    texts = [each.text for each in remote.write(request)]
    assert texts[:2] == ["Number 1.", "Number 2."]
    body = server.requests[0].body
    assert (body["model"], body["top_p"], body["stop"], body["max_tokens"]) == (
        "m",
        0.9,
        ["END"],
        4,
    )
    assert all(request.body["seed"] < 2**31 for request in server.requests)
