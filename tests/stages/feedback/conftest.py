from collections.abc import Iterator

import pytest

from tests.remote.scripted_server import ScriptedServer, serving
from tests.stages.feedback.conversing import converse


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(converse) as found:
        yield found
