from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.http.serving import SmallServer, running_server


@pytest.fixture(scope="session")
def server(model_folder: Path) -> Iterator[SmallServer]:
    """Return a server that the tests of this folder share."""
    with running_server(model_folder) as server:
        yield server
