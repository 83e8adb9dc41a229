import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest

from upbring.serve.serve_command import make_options
from upbring.settings.commands.serve import ServeSettings


def test_the_command_serves_until_ctrl_c(model_folder: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "upbring", "serve", str(model_folder), "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    timer = threading.Timer(120, process.kill)
    timer.start()
    try:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        address = next(line for line in lines if line.startswith("API ")).split()[1]
        body = json.dumps({"prompt": "red", "max_tokens": 3}).encode()
        with urllib.request.urlopen(  # noqa: S310 -- the server's own address
            f"{address}/completions", body, timeout=60
        ) as response:
            assert json.load(response)["choices"][0]["finish_reason"] in {"length", "stop"}
        process.send_signal(signal.SIGINT)
        assert process.wait(60) in {0, 130}
        assert "Traceback" not in process.stderr.read()
    finally:
        timer.cancel()
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("settings", "is_open"),
    [
        ({}, True),
        ({"api_key": "12345678"}, False),
        ({"host": "192.0.2.1"}, False),
        ({"host": "::1"}, True),
        ({"host": "::"}, False),
    ],
)
def test_a_key_is_needed_beyond_this_machine(settings: dict[str, str], *, is_open: bool) -> None:
    options = make_options(ServeSettings(model="m", **settings))  # type: ignore[arg-type] # text
    assert options.guard.is_open == is_open
    assert options.guard.identify("12345678") == ("key" if "api_key" in settings else None)
