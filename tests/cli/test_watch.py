import http.client
import os
import re
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.commands import upbring
from tests.report.made import make_run

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_page_is_served_until_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    make_run(tmp_path / "runs", "sft", "a", model="base", steps=4)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "upbring", "watch"]
    # a shell lets background processes and their children ignore Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        words, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.fullmatch(r"runs/a: open http://127\.0\.0\.1:(\d+)/\?token=(\S+)\n", line)
        assert found, line
        # read here: `communicate` does not see what the reader has buffered
        below = process.stderr.readline()
        assert below == "Only reachable from this machine, with this key. Stop with Ctrl-C.\n"
        with closing(
            http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=20)
        ) as connection:
            connection.request("GET", "/", headers={"Authorization": f"Bearer {found[2]}"})
            text = connection.getresponse().read().decode()
        assert "<h1>a</h1>" in text
        assert 'http-equiv="refresh" content="5"' in text
        process.send_signal(number)
        rest = process.communicate(timeout=20)[1]
    finally:
        process.kill()
        process.communicate()
    is_asked = number == signal.SIGINT
    assert process.returncode == (0 if is_asked else -signal.SIGTERM)
    assert rest == ("closed\n" if is_asked else "")


def test_without_a_run_there_is_nothing_to_watch(tmp_path: Path) -> None:
    answer = upbring(tmp_path, "watch")
    assert (answer.code, answer.err) == (
        2,
        "runs: no runs yet; start one, or give a folder to watch\n",
    )


def test_a_name_is_looked_for_among_the_runs(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "sft", "assistant", model="base", steps=1)
    answer = upbring(tmp_path, "watch", "asistant")
    assert answer.code == 2
    assert "did you mean runs/assistant?" in answer.err
