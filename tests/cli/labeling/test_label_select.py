from pathlib import Path

from tests.commands import upbring
from tests.votes.importing.imported import FIXTURES


def test_items_get_a_random_order_and_a_selection_without_models_is_refused(tmp_path: Path) -> None:
    upbring(tmp_path, "label", "import", str(FIXTURES / "arena.jsonl"))
    answer = upbring(tmp_path, "label", "select", "labels")
    assert answer.code == 0, answer.err
    assert "0 items are ordered by random" in answer.err  # all have votes
    answer = upbring(tmp_path, "label", "select", "labels", "--select", "gap")
    assert (answer.code, "gap needs a reward model" in answer.err) == (2, True)
