import json

from upbring.serve.http.api_errors import ApiError


def test_an_error_has_openais_format() -> None:
    error = ApiError("too much", status=429, code="rate_limit_exceeded", retry_after=3)
    response = error.response()
    assert response.status_code == 429
    assert response.headers["retry-after"] == "3"
    assert json.loads(bytes(response.body)) == {
        "error": {
            "message": "too much",
            "type": "rate_limit_error",
            "param": None,
            "code": "rate_limit_exceeded",
        }
    }
    assert ApiError("x", param="n").body()["error"] == {
        "message": "x",
        "type": "invalid_request_error",
        "param": "n",
        "code": None,
    }
