import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.http.serving import OPEN, SmallServer, make_small_served
from tests.web.served import serving
from upbring.serve.http.api import make_app
from upbring.serve.http.chat_page import page_routes
from upbring.votes.store import open_store

ASK = {
    "models": ["small", "bold"],
    "messages": [{"role": "user", "content": "which?"}],
    "max_tokens": 5,
}


@pytest.fixture(scope="module")
def votes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("votes")


@pytest.fixture(scope="module")
def blind(model_folder: Path, votes: Path) -> Iterator[SmallServer]:
    loaded, served = make_small_served(model_folder)
    served.engine.start()
    try:
        with serving(make_app(served, pages=page_routes(votes)), options=OPEN) as address:
            yield SmallServer(address.address.port, served, loaded)
    finally:
        served.engine.stop()


def stream_side(server: SmallServer, number: str, side: int) -> str:
    status, text = server.ask(f"/api/comparisons/{number}/{side}", {})
    assert status == 200, text
    events = [each.removeprefix("data: ") for each in text.split("\n\n") if each]
    assert events.pop() == "[DONE]"
    assert "small" not in text
    assert "bold" not in text
    return "".join(json.loads(each)["text"] for each in events)


def test_sides_are_random_and_a_vote_is_stored_once(blind: SmallServer, votes: Path) -> None:
    lefts = set()
    for attempt in range(12):
        number = blind.post("/api/comparisons", **ASK, seed=attempt)["id"]
        path = f"/api/comparisons/{number}/choice"
        assert blind.ask(path, {"choice": "left"})[0] == 400  # nothing was read yet
        texts = [stream_side(blind, number, side) for side in (0, 1)]
        reply = blind.post(path, choice="bad" if attempt else "left")
        assert blind.post(path, choice="right") == reply
        lefts.add(reply["models"][0])
    assert lefts == {"small", "bold"}
    with open_store(votes, read_only=True) as store:
        items, stored = store.items(), store.votes()
    assert len(stored) == 12
    assert stored[0].vote.places == (1, 2)
    assert all(vote.vote.all_bad for vote in stored[1:])
    assert [response.text for response in items[-1].responses] == texts


def test_wrong_requests_are_explained(blind: SmallServer) -> None:
    for fields in ({**ASK, "models": ["small"]}, {**ASK, "messages": []}, {**ASK, "n": "x"}):
        if fields.get("n") != "x":
            blind.reject("/api/comparisons", **fields)
    assert blind.ask("/api/comparisons/unknown/choice", {"choice": "left"})[0] == 404
    assert blind.ask("/api/comparisons/unknown/0", {})[0] == 404
    number = blind.post("/api/comparisons", **ASK)["id"]
    assert blind.ask(f"/api/comparisons/{number}/2", {})[0] == 400
