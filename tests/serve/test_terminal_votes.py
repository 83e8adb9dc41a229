from pathlib import Path

from upbring.data.read.records import Message
from upbring.serve.terminal_votes import store_better_answer
from upbring.votes.store import open_store


def test_a_vote_is_in_the_store(tmp_path: Path) -> None:
    prompt = [Message("user", "hello")]
    for best, worst in (("good", "bad"), ("other", "bad"), ("good", "bad")):
        store_better_answer(tmp_path, prompt, best, worst, model="m")
    with open_store(tmp_path, read_only=True) as store:
        items, votes = store.items(), store.votes()
    assert [[r.text for r in item.responses] for item in items] == [
        ["good", "bad"],
        ["other", "bad"],
    ]
    assert [vote.vote.places for vote in votes] == [(1, 2)] * 3
