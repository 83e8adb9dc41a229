"""The chat page at `/`: static files, which use the API like every client."""

from importlib.resources import files
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from upbring.serve.http.blind_comparisons import BlindComparisons
from upbring.web.static_files import read_static_files, static_response

PACKAGE = "upbring.serve"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


def page_routes(votes: Path) -> list[Route]:
    """Return the paths of the page; `votes` is the folder of the vote store."""
    page = files(PACKAGE).joinpath("pages", "chat.html").read_text(encoding="utf-8")
    texts = read_static_files(PACKAGE)

    async def show(_: Request) -> Response:
        return Response(page, media_type="text/html; charset=utf-8")

    async def static(request: Request) -> Response:
        return static_response(texts, request.path_params["name"])

    return [
        Route("/", show),
        Route("/static/{name}", static),
        *BlindComparisons(votes).routes(),
    ]
