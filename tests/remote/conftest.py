from collections.abc import Iterator

import pytest

from tests.remote.scripted_server import ScriptedServer, serving
from upbring.remote.address import API_KEY_VARIABLE


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv(API_KEY_VARIABLE, raising=False)
    with serving() as found:
        yield found
