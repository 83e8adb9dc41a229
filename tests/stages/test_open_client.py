from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.remote.scripted_server import ScriptedServer, serving
from upbring.errors import InputError
from upbring.remote.client import Call
from upbring.stages.open_client import CALLS_FILE, open_calls, open_client

CALL = Call("/chat/completions", {"messages": [{"content": "a"}]})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as found:
        yield found


def test_a_call_is_on_the_disk_and_paid_for_once(server: ScriptedServer, tmp_path: Path) -> None:
    for _ in range(2):
        open_client(server.url, open_calls(tmp_path / CALLS_FILE)).call_all([CALL])
    assert len(server.requests) == 1
    open_client(server.url).call_all([CALL])
    assert len(server.requests) == 2


def test_a_foreign_file_is_named(tmp_path: Path) -> None:
    (tmp_path / CALLS_FILE).write_text('{"prompt": "mine"}\n')
    with pytest.raises(InputError, match=r"calls\.jsonl:1: is not a stored call; delete that line"):
        open_calls(tmp_path / CALLS_FILE)
