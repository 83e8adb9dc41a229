"""A disk that is really full while people vote: the system lets no file of the store grow."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.feedback.labeling.served_labels import labeling
from upbring.votes.store import open_store

COMMENT = "x" * 2000


@contextmanager
def no_file_grows(folder: Path) -> Iterator[None]:
    """Let the system refuse what would make a file longer than the longest of a folder is now."""
    longest = max(path.stat().st_size for path in folder.iterdir() if path.is_file())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (longest + 150_000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_has_one_message_and_no_vote_is_lost(tmp_path: Path) -> None:
    acknowledged, refused = [], []
    with labeling(tmp_path, 40) as served:
        ticket = served.owner.get("/api/item")["item"]["ticket"]
        with no_file_grows(tmp_path):
            for number in range(40):
                vote = {"outcome": "ranked", "places": [1, 2, 3, 4], "comment": COMMENT}
                body = {"key": f"k{number}", "ticket": ticket, "vote": vote}
                status, reply = served.owner.send("POST", "/api/vote", body)
                if status != 200:
                    refused.append((status, reply, body))
                    break
                acknowledged.append(f"k{number}")
                ticket = reply["item"]["ticket"]
            ((status, reply, body),) = refused
            assert status == 507
            assert "free some space on the disk, then send the vote again" in reply["error"]
            assert served.owner.send("POST", "/api/vote", body)[0] == 507
        assert len(served.store.votes()) == len(acknowledged) > 0
        assert served.owner.send("POST", "/api/vote", body)[0] == 200
        assert served.owner.send("POST", "/api/vote", body)[0] == 200  # the same key: stored once
    with open_store(tmp_path, read_only=True) as store:
        stored = [vote.key.removeprefix("1:") for vote in store.votes()]
    assert stored == [*acknowledged, body["key"]]
