"""The report of running stages as a web page, rebuilt only when a file has changed."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from upbring.errors import UpbringError
from upbring.report.build import report_json
from upbring.report.findings import Findings, compute_findings
from upbring.report.html import page
from upbring.report.read_folders import file_stats, read_evidence


@dataclass(eq=False)
class LiveReport:
    """The current page for some folders, with the file sizes and times it was built from."""

    folders: Sequence[Path]
    refresh_seconds: int
    _file_stats: object = None
    _findings: Findings | None = None
    _html: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def html(self) -> str:
        """Return the page for the current files."""
        self._refresh()
        return self._html

    def json_text(self) -> str:
        """Return the text of `report.json` for the current files."""
        return report_json(self._refresh())

    def _refresh(self) -> Findings:
        with self._lock:
            current_stats = file_stats(self.folders)
            if self._findings is None or current_stats != self._file_stats:
                self._findings = compute_findings(read_evidence(self.folders))
                self._html = page(self._findings, refresh_seconds=self.refresh_seconds)
                self._file_stats = current_stats
            return self._findings


def app(folders: Sequence[Path], *, refresh_seconds: int) -> Starlette:
    """Return a web application that serves the page at `/` and its data at `/report.json`."""
    live = LiveReport(folders, refresh_seconds)

    def show_html(_: Request) -> Response:
        try:
            return HTMLResponse(live.html())
        except UpbringError as error:
            return PlainTextResponse(f"{error}\n", 503)

    def show_json(_: Request) -> Response:
        try:
            return Response(live.json_text(), media_type="application/json")
        except UpbringError as error:
            return PlainTextResponse(f"{error}\n", 503)

    return Starlette(routes=[Route("/", show_html), Route("/report.json", show_json)])
