import pytest

from tests.export.exports import Exported, make_exported


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Return runs of each kind and their exports, created once per session."""
    return make_exported(tmp_path_factory.mktemp("exported"))
