"""Requests of other sites, under other names or with other methods, to every route of the page."""

from pathlib import Path

import pytest

from tests.feedback.labeling.served_labels import labeling
from tests.web.served import Reply, Served

PAGES = ("/", "/overview", "/annotator", "/static/label.js", "/static/label.css")
READS = ("/api/item", "/api/overview", "/api/quality")
WRITES = ("/api/vote", "/api/undo", "/api/renew", "/api/annotators", "/api/adjudicate")
ROUTES = (*PAGES, *READS, *WRITES)
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
HOSTS = ("evil.example", "evil.example:{port}", "127.0.0.1:1", "localhost", "0.0.0.0:{port}")
ORIGINS = ("http://evil.example", "https://127.0.0.1:{port}", "http://127.0.0.1:1", "null")
SITES = (("cross-site", "no-cors"), ("same-site", "cors"), ("cross-site", "cors"))
BODY = b'{"key": "k", "ticket": "t", "vote": {"outcome": "skipped"}}'


def bad_headers(port: int) -> list[tuple[int, dict[str, str]]]:
    """Return what makes a request bad, and the status that says so."""
    hosts = [(421, {"Host": each.format(port=port)}) for each in HOSTS]
    origins = [(403, {"Origin": each.format(port=port)}) for each in ORIGINS]
    sites = [(403, {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}) for site, mode in SITES]
    return [*hosts, *origins, *sites]


def ask(served: Served, path: str, method: str, **headers: str) -> Reply:
    body = None if method in {"GET", "OPTIONS"} else BODY
    more = {"Cookie": served.cookie, "Content-Type": "application/json", **headers}
    return served.ask(path, method=method, body=body, **more)


def test_every_bad_request_is_rejected_on_every_route_even_with_the_token(tmp_path: Path) -> None:
    with labeling(tmp_path, 2) as labels:
        served = Served(labels.address)
        labels.owner.get("/api/item")
        before = labels.store.votes(), labels.store.annotators()
        found = {
            (path, method, *headers.values()): (ask(served, path, method, **headers), status)
            for path in ROUTES
            for method in METHODS
            for status, headers in bad_headers(labels.address.port)
        }
        accepted = [key for key, (reply, status) in found.items() if reply.status != status]
        assert accepted == []
        assert len(found) == 13 * 6 * 12
        texts = {reply.text for reply, _ in found.values()}
        assert not [text for text in texts if "response" in text or "prompt" in text]
        assert (labels.store.votes(), labels.store.annotators()) == before


def test_a_route_takes_only_its_own_methods(tmp_path: Path) -> None:
    with labeling(tmp_path, 2) as labels:
        served = Served(labels.address)
        for path in ROUTES:
            own = {"POST"} if path in WRITES else {"GET"}
            for method in {*METHODS} - own:
                assert ask(served, path, method).status == 405, (path, method)
        for path in (*PAGES, *READS[:2]):
            assert ask(served, path, "GET").status == 200, path
        assert labels.store.votes() == []


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_the_page_itself_is_let_in(tmp_path: Path, site: str) -> None:
    with labeling(tmp_path, 1) as labels:
        served, origin = Served(labels.address), f"http://127.0.0.1:{labels.address.port}"
        own = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "cors"}
        assert ask(served, "/api/item", "GET", **own).status == 200
        status = ask(served, "/api/renew", "POST", Origin=origin, **own).status
        assert status == 200
