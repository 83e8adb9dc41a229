import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests import small
from tests.commands import done, upbring
from tests.conftest import IS_NIGHTLY
from upbring.toyworld.export import prompts
from upbring.toyworld.tasks import as_row
from upbring.toyworld.world import load_world

ROOT = Path(__file__).parents[2]


def ask(port: int, token: str, path: str, body: object = None) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        method = "GET" if body is None else "POST"
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read())


def test_a_child_generates_while_the_page_is_served(tmp_path: Path) -> None:
    small.make_model(tmp_path / "m")
    rows = [{"prompt": f"What is the {thing} like?"} for thing in small.THINGS]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = [sys.executable, "-m", "upbring", "label", "p.jsonl", "--models", "m"]
    words += ["--limit", "3", "--max-tokens", "4", "--threads", "1", "--dtype", "float32"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        words, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.fullmatch(r"labels: open http://127\.0\.0\.1:(\d+)/\?token=(\S+)\n", line)
        assert found, line
        assert "Only reachable from this machine" in process.stderr.readline()
        port, token = int(found[1]), found[2]
        reply = ask(port, token, "/api/item")[1]
        while reply["item"] is None:
            assert reply["growing"], "nothing was generated"
            threading.Event().wait(0.1)
            reply = ask(port, token, "/api/item")[1]
        ticket, count = reply["item"]["ticket"], len(reply["item"]["responses"])
        vote = {"outcome": "ranked", "places": [1] * count}
        body = {"key": "k", "ticket": ticket, "vote": vote}
        assert ask(port, token, "/api/vote", body)[0] == 200
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=20)[1]
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    assert rest.startswith("labels/votes.db: 1 vote by 1 annotator on 1 of ")


def test_the_server_imports_no_torch() -> None:
    code = "import sys, upbring.cli.label; print('torch' in sys.modules)"
    words = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    shown = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert shown.stdout == "False\n"


def test_a_missing_response_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "q", "responses": ["a", ""]}\n')
    answer = upbring(tmp_path, "label", "--responses", "a.jsonl")
    assert answer.code == 2
    assert answer.err.startswith("a.jsonl:1: responses[1]: is ")


@pytest.mark.skipif(not IS_NIGHTLY, reason="nightly: trains three times")
def test_rounds_of_sampling_voting_and_training_continue_after_each_vote(tmp_path: Path) -> None:
    small.make_model(tmp_path / "m")
    small.make_demonstrations(tmp_path / "d.jsonl", 4)
    rows = [as_row(task) for task in prompts(load_world(), seed=0, count=6)]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "rounds.yaml").write_text(
        "model: m\n"
        "defaults: {steps: 2, batch_size: 2, dtype: float32, threads: 1, sample_tokens: 2}\n"
        "stages:\n  first: {method: sft, data: d.jsonl, held_out_share: 0}\n"
        "rounds: 2\n"
        "each_round:\n"
        "  ranked: {method: collect, model: latest, prompts: p.jsonl, by: people, max_tokens: 6,\n"
        "           overlap: 2}\n"
        "  dpo: {model: latest, data: ranked/rankings.jsonl, held_out_share: 0}\n"
    )
    run = ("run", "rounds.yaml", "--to", "out")
    stages = tmp_path / "out" / "stages"
    for number in (1, 2):
        waiting = " ".join(done(tmp_path, *run).err.split())
        labels = f"out/stages/ranked-{number}/labels"
        assert f"`upbring label --to {labels}`" in waiting
        assert not (stages / f"ranked-{number}" / "rankings.jsonl").exists()
        assert "0 of " in done(tmp_path, *run).err  # nobody has voted: it waits again
        voted = done(tmp_path, "label", "--to", labels, "--simulate", "2").err
        assert "votes by 2 annotators" in voted
    done(tmp_path, *run)
    assert (stages / "dpo-2" / "model").is_dir()
    texts = [(stages / f"ranked-{n}" / "rankings.jsonl").read_text() for n in (1, 2)]
    assert texts[0] != texts[1]
    assert {row["annotator"] for text in texts for row in map(json.loads, text.splitlines())} == {
        "synthetic-1",
        "synthetic-2",
    }
