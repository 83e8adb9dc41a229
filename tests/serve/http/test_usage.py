import pytest

from tests.serve.engine.engines import make_job
from upbring.serve.engine.requests import SampleProgress
from upbring.serve.http.api_errors import ApiError
from upbring.serve.http.fields import Fields
from upbring.serve.http.generation import TaskProgress
from upbring.serve.http.usage import TokenUsage, room_for_response


def test_tokens_are_counted_once() -> None:
    usage = TokenUsage()
    request = make_job([1, 2, 3], keys=(1, 2)).request
    request.num_cached = 2
    for index, count in ((0, 1), (1, 1), (0, 5)):
        usage.add(TaskProgress(0, request, SampleProgress(index, "", (), count)))
    assert usage.fields() == {
        "prompt_tokens": 3,
        "completion_tokens": 6,
        "total_tokens": 9,
        "prompt_tokens_details": {"cached_tokens": 2},
    }


def test_a_response_has_the_room_that_the_prompt_leaves() -> None:
    assert room_for_response(Fields({}), "max_tokens", 100, [1] * 60) == 40
    assert room_for_response(Fields({"max_tokens": 7}), "max_tokens", 100, [1] * 60) == 7
    for prompt in ([1] * 100, []):
        with pytest.raises(ApiError) as caught:
            room_for_response(Fields({}), "max_tokens", 100, prompt)
        assert caught.value.code == "context_length_exceeded"
