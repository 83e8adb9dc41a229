"""The application: paths, errors, and what every response is counted as."""

import time
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from upbring.serve.http.api_errors import INTERNAL, NOT_FOUND, ApiError
from upbring.serve.http.chat_completions import chat_completions
from upbring.serve.http.completions import completions
from upbring.serve.http.generation import ClientDisconnectedError
from upbring.serve.http.metrics import ServerMetrics, format_metrics
from upbring.serve.http.responses import responses
from upbring.serve.http.scores import pooling, score
from upbring.serve.http.served_models import ServedModel, ServedModels, served_models
from upbring.serve.http.tokenizer_routes import detokenize, tokenize, tokenizer_info

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

CLIENT_CLOSED = 499  # nginx's status for a client that has gone


def make_app(served: ServedModels, *, pages: list[Route] | None = None) -> "ASGIApp":
    """Return the application that serves these models."""
    app = Starlette(
        routes=[
            Route("/v1/models", list_models),
            Route("/v1/models/{name:path}", show_model),
            Route("/v1/chat/completions", chat_completions, methods=["POST"]),
            Route("/v1/completions", completions, methods=["POST"]),
            Route("/v1/responses", responses, methods=["POST"]),
            Route("/v1/score", score, methods=["POST"]),
            Route("/score", score, methods=["POST"]),
            Route("/pooling", pooling, methods=["POST"]),
            *(
                Route(f"{prefix}/{name}", function, methods=[method])
                for prefix in ("", "/v1")  # lm-evaluation-harness asks below its base URL
                for name, function, method in (
                    ("tokenize", tokenize, "POST"),
                    ("detokenize", detokenize, "POST"),
                    ("tokenizer_info", tokenizer_info, "GET"),
                )
            ),
            Route("/health", health),
            Route("/metrics", show_metrics),
            *(pages or []),
        ],
        exception_handlers={
            ApiError: _answer_api_error,
            ClientDisconnectedError: _answer_nobody,
            HTTPException: _answer_http_error,
            Exception: _answer_failure,
        },
    )
    app.state.served = served
    return CountResponses(app, served.metrics)


async def list_models(request: Request) -> JSONResponse:
    """List the models."""
    models = [_model_fields(each) for each in served_models(request).by_name.values()]
    return JSONResponse({"object": "list", "data": models})


async def show_model(request: Request) -> JSONResponse:
    """Describe one model."""
    by_name = served_models(request).by_name
    name = request.path_params["name"]
    if name not in by_name:
        raise ApiError(
            f"model: {name[:80]!r} is not served here",
            status=NOT_FOUND,
            param="model",
            code="model_not_found",
        )
    return JSONResponse(_model_fields(by_name[name]))


def _model_fields(model: ServedModel) -> dict[str, object]:
    return {
        "id": model.name,
        "object": "model",
        "created": model.created,
        "owned_by": "upbring",
        "task": "score" if model.is_reward else "generate",
    }


async def health(request: Request) -> JSONResponse:
    """Say that the server runs."""
    return JSONResponse({"status": "ok", "models": list(served_models(request).by_name)})


async def show_metrics(request: Request) -> PlainTextResponse:
    """Return the metrics."""
    served = served_models(request)
    text = format_metrics(served.metrics, served.engine.stats)
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4")


async def _answer_api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError), "registered for it"
    return error.response()


async def _answer_nobody(_: Request, __: Exception) -> Response:
    return Response(status_code=CLIENT_CLOSED)


async def _answer_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "registered for it"
    return ApiError(str(error.detail), status=error.status_code).response()


async def _answer_failure(_: Request, __: Exception) -> Response:
    return ApiError("the server failed; its terminal shows why", status=INTERNAL).response()


class CountResponses:
    """ASGI middleware that counts responses and measures the time to their first and last byte."""

    def __init__(self, app: "ASGIApp", metrics: ServerMetrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Pass the request on."""
        began = time.perf_counter()
        is_generation = scope.get("path", "").endswith(("/completions", "/responses"))
        is_first = True

        async def send_counted(message: "Message") -> None:
            nonlocal is_first
            if message["type"] == "http.response.start":
                self._metrics.count(message["status"])
            elif is_generation:
                seconds = time.perf_counter() - began
                if is_first:
                    self._metrics.first_token_seconds.add(seconds)
                    is_first = False
                if not message.get("more_body"):
                    self._metrics.request_seconds.add(seconds)
            await send(message)

        await self._app(scope, receive, send_counted)
