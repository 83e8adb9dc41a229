import pytest

from tests.serve.http.serving import SmallServer
from upbring.serve.http.api_errors import ApiError


def test_models_are_found_by_name_and_kind(server: SmallServer) -> None:
    served = server.served
    assert served.find("").name == served.find("default").name == "small"
    assert served.find("", is_reward=True).name == "judge"
    with pytest.raises(ApiError, match="generates text"):
        served.find("small", is_reward=True)
    with pytest.raises(ApiError, match="scores responses"):
        served.find("judge")
    with pytest.raises(ApiError, match="use one of small, bold, judge"):
        served.find("nope")
