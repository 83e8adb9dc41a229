from pathlib import Path
from urllib.parse import quote

from tests.feedback.labeling.served_labels import Client, Labeling, labeling
from upbring.votes.assignment import AssignmentRules

TWICE = AssignmentRules(overlap=2)


def disagree(served: Labeling) -> tuple[Client, Client]:
    """Let two annotators rank the one item in opposite ways."""
    ann, bob = served.client("Ann"), served.client("Bob")
    for client, best in ((ann, 0), (bob, 3)):
        item = client.get("/api/item")["item"]
        numbers = [int(text.split()[1]) for text in item["responses"]]
        client.vote(item["ticket"], *[1 + abs(best - number) for number in numbers])
    return ann, bob


def test_an_invitation_is_a_token_that_votes_under_the_name(tmp_path: Path) -> None:
    with labeling(tmp_path, 1) as served:
        made = served.owner.post("/api/annotators", name="  Zoë  Ö ")
        assert made["name"] == "Zoë Ö"
        assert served.owner.post("/api/annotators", name="Zoë Ö") == made
        reply = Client(served.address.port, made["token"]).get("/api/item")
        assert (reply["annotator"], reply["is_owner"]) == ("Zoë Ö", False)
        for body in ({"name": ""}, {"name": "me"}, {"name": "a", "adjudicates": "yes"}, {}):
            assert served.owner.send("POST", "/api/annotators", body)[0] == 400


def test_an_annotator_sees_only_the_own_numbers(tmp_path: Path) -> None:
    with labeling(tmp_path, 1, rules=TWICE) as served:
        ann, _ = disagree(served)
        assert ann.get("/api/quality")["name"] == "Ann"
        assert ann.get("/api/quality?id=2")["name"] == "Ann"
        for method, path in (
            ("GET", "/api/overview"),
            ("GET", "/api/agreement"),
            ("POST", "/api/annotators"),
            ("POST", "/api/adjudicate"),
            ("GET", "/api/quality?id=3"),
        ):
            body = {"name": "x"} if method == "POST" else None
            assert ann.send(method, path, body)[0] == 403
        assert served.owner.get("/api/quality?id=3")["name"] == "Bob"
        for wrong in ("99", "x", "²", "1" * 30):
            assert served.owner.send("GET", f"/api/quality?id={quote(wrong)}")[0] == 400


def test_a_disagreement_is_decided_once(tmp_path: Path) -> None:
    with labeling(tmp_path, 1, rules=TWICE) as served:
        disagree(served)
        found = served.owner.get("/api/overview")
        assert (found["items"], found["open"], found["votes"]) == (1, 0, 2)
        assert [(each["item"], each["votes"]) for each in found["disputes"]] == [(1, 2)]
        assert found["disputes"][0]["disagreement"] == 1
        agreed = served.owner.get("/api/agreement")
        assert (agreed["num_items"], agreed["percent"]) == (1, 0)
        judge = served.client("Judge", adjudicates=True)
        assert judge.get("/api/item")["adjudicates"]
        assert len(judge.post("/api/adjudicate")["item"]["others"]) == 2
        item = served.owner.post("/api/adjudicate", item=1)["item"]
        assert item["adjudication"]
        assert len(item["others"]) == 2
        assert served.owner.get("/api/item")["item"]["ticket"] == item["ticket"]
        served.owner.vote(item["ticket"], 1, 2, 3, 4)
        assert served.owner.get("/api/overview")["disputes"] == []
        assert served.owner.send("POST", "/api/adjudicate", {})[0] == 400
        assert [vote.adjudicated for vote in served.store.votes()] == [False, False, True]
