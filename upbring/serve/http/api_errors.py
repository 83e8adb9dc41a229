"""Errors in the format of OpenAI's API: `{"error": {"message", "type", "param", "code"}}`."""

from starlette.responses import JSONResponse, Response

BAD_REQUEST, NOT_FOUND, TOO_LARGE, TOO_MANY, INTERNAL = 400, 404, 413, 429, 500
TYPES = {
    401: "authentication_error",
    NOT_FOUND: "not_found_error",
    TOO_MANY: "rate_limit_error",
    INTERNAL: "server_error",
    503: "server_error",
}


class ApiError(Exception):
    """A request that is answered with an error."""

    def __init__(
        self,
        message: str,
        *,
        status: int = BAD_REQUEST,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message, self.status, self.param, self.code = message, status, param, code
        self.retry_after = retry_after

    def body(self) -> dict[str, object]:
        """Return the JSON of the error."""
        kind = TYPES.get(self.status, "invalid_request_error")
        return {
            "error": {
                "message": self.message,
                "type": kind,
                "param": self.param,
                "code": self.code,
            }
        }

    def response(self) -> Response:
        """Return the response."""
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return JSONResponse(self.body(), self.status, headers)
