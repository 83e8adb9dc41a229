import json
import re
import sqlite3
from pathlib import Path

import pytest

from tests.feedback.labeling.served_labels import Client, labeling
from upbring.feedback.labeling.app import PACKAGE, read_page
from upbring.votes.assignment import AssignmentRules
from upbring.web.static_files import read_static_files


def test_a_vote_is_stored_and_the_next_item_comes_back(tmp_path: Path) -> None:
    with labeling(tmp_path, 2) as served:
        first = served.owner.get("/api/item")
        assert (first["done"], first["total"], first["annotator"]) == (0, 2, "me")
        second = served.owner.vote(first["item"]["ticket"], 2, 1, 2, 4, seconds=3)
        assert second["saved"]
        assert second["item"]["ticket"] != first["item"]["ticket"]
        last = served.owner.vote(second["item"]["ticket"])
        assert (last["item"], last["done"], last["growing"]) == (None, 2, False)
        ranked, unsaid = served.store.votes()
        assert ranked.vote.places is not None
        assert [ranked.vote.places[n] for n in ranked.order] == [2, 1, 2, 3]
        assert (unsaid.vote.outcome, unsaid.vote.places) == ("cannot_say", None)


def test_a_vote_that_is_sent_again_is_stored_once(tmp_path: Path) -> None:
    with labeling(tmp_path, 2) as served:
        ticket = served.owner.get("/api/item")["item"]["ticket"]
        replies = [served.owner.vote(ticket, 1, 2, 3, 4, key="k") for _ in range(3)]
        assert len(served.store.votes()) == 1
        assert replies[0] == replies[1] == replies[2]


def test_an_old_ticket_is_refused(tmp_path: Path) -> None:
    with labeling(tmp_path, 2) as served:
        ticket = served.owner.get("/api/item")["item"]["ticket"]
        served.owner.vote(ticket, 1, 2, 3, 4)
        body = {"key": "other", "ticket": ticket, "vote": {"outcome": "skipped"}}
        status, reply = served.owner.send("POST", "/api/vote", body)
        assert status == 409
        assert "done or was given to someone else" in reply["error"]
        assert served.owner.post("/api/renew", ticket=ticket) == {"held": False}
        held = served.owner.get("/api/item")["item"]["ticket"]
        assert served.owner.post("/api/renew", ticket=held) == {"held": True}


def test_undo_brings_the_vote_back_to_the_page(tmp_path: Path) -> None:
    with labeling(tmp_path, 2) as served:
        item = served.owner.get("/api/item")["item"]
        served.owner.vote(item["ticket"], 4, 3, 2, 1, comment="hm")
        undone = served.owner.post("/api/undo", key="u")
        assert undone["item"] == item
        assert undone["previous"]["places"] == [4, 3, 2, 1]
        assert undone["previous"]["comment"] == "hm"
        status, reply = served.owner.send("POST", "/api/undo", {"key": "v"})
        assert (status, reply) == (400, {"error": "undo: there is nothing to undo"})


def test_a_hidden_repeat_looks_like_a_new_item(tmp_path: Path) -> None:
    with labeling(tmp_path, 5, rules=AssignmentRules(repeat_every=3)) as served:
        shown = []
        while (item := served.owner.get("/api/item")["item"]) is not None:
            shown.append(item)
            served.owner.vote(item["ticket"], 1, 2, 3, 4)
        prompts = [item["prompt"][0]["content"] for item in shown]
        assert len(shown) > len(set(prompts)) == 5
        assert len({item["ticket"] for item in shown}) == len(shown)
        assert all(item.keys() == shown[0].keys() for item in shown)


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"key": "k"},
        {"key": "", "ticket": "t"},
        {"key": "k" * 101, "ticket": "t"},
        {"key": "k", "ticket": 3},
    ],
)
def test_malformed_bodies_get_a_message(tmp_path: Path, body: object) -> None:
    with labeling(tmp_path, 1) as served:
        status, reply = served.owner.send("POST", "/api/vote", body)
        assert status == 400
        assert re.match(r"(body|key|ticket): ", reply["error"])


def test_only_json_is_read(tmp_path: Path) -> None:
    with labeling(tmp_path, 1) as served:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            status, reply = served.owner.send("POST", "/api/undo", {"key": "k"}, Content_Type=kind)
            assert (status, reply["error"]) == (400, "content-type: send application/json")
        status, _ = served.owner.send("POST", "/api/vote", {"key": "x" * 2**20})
        assert status == 413


def test_a_full_disk_is_507_and_a_later_try_succeeds(tmp_path: Path) -> None:
    with labeling(tmp_path, 1) as served:
        ticket = served.owner.get("/api/item")["item"]["ticket"]
        connection = served.store._connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        vote = {"outcome": "ranked", "places": [1, 2, 3, 4], "comment": "x" * 9000}
        body = {"key": "k", "ticket": ticket, "vote": vote}
        status, reply = served.owner.send("POST", "/api/vote", body)
        assert status == 507
        assert "free some space on the disk, then send the vote again" in reply["error"]
        connection.execute("PRAGMA max_page_count = 100000")
        assert served.owner.send("POST", "/api/vote", body)[0] == 200
        assert len(served.store.votes()) == 1


def test_every_route_needs_a_token(tmp_path: Path) -> None:
    with labeling(tmp_path, 1) as served:
        stranger = Client(served.address.port, "wrong")
        routes = ["/", "/overview", "/annotator", "/static/label.js", "/nothing"]
        routes += ["/api/item", "/api/vote", "/api/undo", "/api/renew"]
        routes += ["/api/overview", "/api/annotators", "/api/adjudicate", "/api/quality"]
        for path in routes:
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
                assert stranger.send(method, path, {})[0] == 401
        for method in ("PUT", "PATCH", "DELETE", "GET"):
            assert served.owner.send(method, "/api/vote")[0] == 405


def test_pages_run_only_their_own_scripts(tmp_path: Path) -> None:
    with labeling(tmp_path, 1) as served:
        for path in ("/", "/overview", "/annotator"):
            page = served.owner.get(path)
            assert not re.search(r"<script(?![^>]* src=\"/static/)|<style|\son\w+=|style=", page)
            assert not re.search(r"(src|href)=\"(?!/)(?!#)", page)
        assert served.owner.send("GET", "/static/../app.py")[0] == 404
        assert served.owner.send("GET", "/static/%2e%2e%2fapp.py")[0] == 404
        assert served.owner.send("GET", "/static/label.html")[0] == 404


def test_scripts_never_parse_text_as_html() -> None:
    texts = read_static_files(PACKAGE) | {"label.html": read_page("label.html")}
    for name, text in texts.items():
        found = re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|https?://",
            text.replace("http://www.w3.org/2000/svg", ""),
        )
        assert found is None, f"{name}: {found}"


def test_another_persons_key_is_another_vote(tmp_path: Path) -> None:
    with labeling(tmp_path, 1, rules=AssignmentRules(overlap=2)) as served:
        for client in (served.owner, served.client("Ann")):
            ticket = client.get("/api/item")["item"]["ticket"]
            client.vote(ticket, 1, 2, 3, 4, key="same")
        assert len(served.store.votes()) == 2


def test_what_is_stored_survives_in_the_file(tmp_path: Path) -> None:
    with labeling(tmp_path, 1) as served:
        ticket = served.owner.get("/api/item")["item"]["ticket"]
        served.owner.vote(ticket, 1, 2, 3, 4, key="k")
        other = sqlite3.connect(tmp_path / "votes.db")  # another process would see the same
        (body,) = other.execute("SELECT body FROM events").fetchone()
        other.close()
        assert json.loads(body)["outcome"] == "ranked"
