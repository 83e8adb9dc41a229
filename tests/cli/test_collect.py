import json
from pathlib import Path

from tests import small
from tests.commands import done, upbring

QUICK = ("--threads", "1", "--dtype", "float32", "--max-tokens", "4", "--limit", "3")


def home(folder: Path) -> Path:
    small.make_model(folder / "m")
    rows = [{"prompt": f"What is the {thing} like?"} for thing in small.THINGS]
    (folder / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_the_page_to_open_is_printed(tmp_path: Path) -> None:
    answer = done(home(tmp_path), "collect", "p.jsonl", "--model", "m", *QUICK)
    output = " ".join(answer.out.split())
    assert "collected: waiting for people; open collected/rank.html in a browser" in output
    assert (tmp_path / "collected" / "rank.html").is_file()


def test_a_judge_that_is_no_reward_model_is_an_error(tmp_path: Path) -> None:
    words = ("--by", "judge", "--judge", "m", *QUICK)
    answer = upbring(home(tmp_path), "collect", "p.jsonl", "--model", "m", *words)
    assert answer.code == 2
    assert "m: has no reward head, so it cannot score" in answer.err
