"""Scripts and styles of pages: those of a package, and those that all pages share.

They are a fixed list, read once: no request reaches the file system.
"""

from collections.abc import Mapping
from importlib.resources import files

from starlette.responses import PlainTextResponse, Response

SHARED = "upbring.web"
MEDIA_TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}


def read_static_files(package: str, folder: str = "pages") -> dict[str, str]:
    """Return the static files of a package's folder and the shared ones, by name."""
    return {
        path.name: path.read_text(encoding="utf-8")
        for source in (files(SHARED).joinpath("pages"), files(package).joinpath(folder))
        for path in source.iterdir()
        if path.name.rpartition(".")[2] in MEDIA_TYPES
    }


def static_response(texts: Mapping[str, str], name: str) -> Response:
    """Return the file of this name, or 404."""
    if name not in texts:
        return PlainTextResponse("no such file", 404)
    return Response(texts[name], media_type=MEDIA_TYPES[name.rpartition(".")[2]])
