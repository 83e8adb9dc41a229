"""The same page of runs that are at work: made anew when a file has changed, and only then."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from upbring.errors import UpbringError
from upbring.report.build import numbers
from upbring.report.findings import Findings, find
from upbring.report.html import page
from upbring.report.read_folders import gather, growing


@dataclass(eq=False)
class Live:
    """The newest page of folders, and what it was made of."""

    folders: Sequence[Path]
    refresh_seconds: int
    _made_of: object = None
    _findings: Findings | None = None
    _text: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def text(self) -> str:
        """Return the page as the files are now."""
        self._look()
        return self._text

    def numbers(self) -> str:
        """Return `report.json` as the files are now."""
        return numbers(self._look())

    def _look(self) -> Findings:
        with self._lock:
            now = growing(self.folders)
            if self._findings is None or now != self._made_of:
                self._findings = find(gather(self.folders))
                self._text = page(self._findings, refresh_seconds=self.refresh_seconds)
                self._made_of = now
            return self._findings


def app(folders: Sequence[Path], *, refresh_seconds: int) -> Starlette:
    """Return an application with the page at `/` and its numbers at `/report.json`."""
    live = Live(folders, refresh_seconds)

    def shown(_: Request) -> Response:
        try:
            return HTMLResponse(live.text())
        except UpbringError as error:
            return PlainTextResponse(f"{error}\n", 503)

    def told(_: Request) -> Response:
        try:
            return Response(live.numbers(), media_type="application/json")
        except UpbringError as error:
            return PlainTextResponse(f"{error}\n", 503)

    return Starlette(routes=[Route("/", shown), Route("/report.json", told)])
