"""Servers side by side: tokens per second and time to the first token at 1, 8 and 32 streams.

Each server gets the same dialogues and streams as many tokens; they take turns, in rounds, and the
others are stopped meanwhile: some of them poll while they wait.
`generate` is a loop of transformers' `generate` over the same prompts, in a process of its own,
one batch per round. llama.cpp runs in xllamacpp, from a GGUF file of the same precision; it and
`transformers serve` are left out where they are not installed.

    python bench/serve.py --model ./smollm2 --gguf ./smollm2-f32.gguf --streams 1 8 32
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import psutil
from results import Case, Figure, add_record_flag, record

TOPICS = ("snow", "rivers", "bread", "maps", "clocks", "bees", "bridges", "music")
START_SECONDS = 120
PORTS = {"upbring": 8391, "transformers serve": 8392, "llama.cpp": 8393}
LLAMA = """
import sys, time, xllamacpp as x
p = x.CommonParams()
p.model.path = sys.argv[1]; p.n_parallel = int(sys.argv[4]); p.n_ctx = 1024 * p.n_parallel
p.hostnames = ["127.0.0.1"]; p.port = int(sys.argv[2]); p.cpuparams.n_threads = int(sys.argv[3])
p.cpuparams_batch.n_threads = int(sys.argv[3]); p.warmup = True
s = x.Server(p); print("ready", flush=True); time.sleep(100000)
"""
GENERATE = """
import sys, time, json, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
path, dtype, threads, tokens = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
torch.set_num_threads(threads)
m = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, dtype)).eval()
t = AutoTokenizer.from_pretrained(path, padding_side="left")
t.pad_token = t.pad_token or t.eos_token
print("ready", flush=True)
for line in sys.stdin:
    texts = [t.apply_chat_template(d, add_generation_prompt=True, tokenize=False)
             if t.chat_template else d[-1]["content"] for d in json.loads(line)]
    began = time.perf_counter()
    given = t(texts, return_tensors="pt", padding=True, add_special_tokens=False)
    with torch.inference_mode():
        m.generate(**given, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False)
    print(time.perf_counter() - began, flush=True)
"""


@dataclass
class Streamed:
    """What one stream measured."""

    first: float
    total: float
    tokens: int


def dialogue(number: int) -> list[dict[str, str]]:
    """Return a dialogue of about 40 tokens that no other one shares."""
    topic = TOPICS[number % len(TOPICS)]
    text = f"{number}: explain in a few sentences what people should know about {topic} and why."
    return [{"role": "user", "content": text}]


def stream(port: int, model: str, number: int, tokens: int) -> Streamed:
    """Stream one response and measure it."""
    body = {
        "model": model,
        "messages": dialogue(number),
        "max_tokens": tokens,
        "temperature": 0,
        "stream": True,
        "ignore_eos": True,
    }
    if model != "default":  # transformers serve rejects what it does not know
        body.pop("ignore_eos")
        body["generation_config"] = json.dumps({"min_new_tokens": tokens, "do_sample": False})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    began = time.perf_counter()
    headers = {"Content-Type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    response = connection.getresponse()
    if response.status != 200:  # noqa: PLR2004 -- HTTP's OK
        raise SystemExit(f"port {port}: {response.status} {response.read()[:300]!r}")
    first, count = 0.0, 0
    for line in response:
        if line.startswith(b"data: {"):
            choices = json.loads(line[6:]).get("choices") or [{}]
            if (choices[0].get("delta") or {}).get("content"):
                first = first or time.perf_counter() - began
                count += 1
    connection.close()
    return Streamed(first, time.perf_counter() - began, count)


def run_round(
    port: int, model: str, streams: int, tokens: int, start: int
) -> tuple[float, list[Streamed]]:
    """Run some streams at once; return the seconds of all, and what each measured."""
    found: list[Streamed] = []
    threads = [
        threading.Thread(target=lambda n=n: found.append(stream(port, model, start + n, tokens)))
        for n in range(streams)
    ]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began, found


@contextmanager
def server(words: list[str], port: int, log: Path) -> Iterator[int]:
    """Run a server until the block ends; yield its process id."""
    with log.open("w") as file:
        process = subprocess.Popen(words, stdout=file, stderr=file)
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _is_open(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{words[:4]} does not start; see {log}")
                time.sleep(0.2)
            yield process.pid
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def alone(name: str, servers: dict[str, int]) -> Iterator[None]:
    """Stop the processes of all other servers until the block ends."""
    others = [psutil.Process(pid) for other, pid in servers.items() if other != name]
    others += [child for each in others for child in each.children(recursive=True)]
    for each in others:
        each.suspend()
    try:
        yield
    finally:
        for each in others:
            each.resume()


def _is_open(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        connection.request("GET", "/v1/models")
        connection.getresponse()  # with any status: transformers serve needs a hub cache for 200
    except OSError:
        return False
    return True


def server_words(given: argparse.Namespace) -> dict[str, list[str]]:
    """Return the command of each server that is installed."""
    model, dtype, threads = str(given.model), given.dtype, str(given.threads)
    upbring = [sys.executable, "-m", "upbring", "serve", model, "--served-model-name", "default"]
    found = {
        "upbring": [
            *upbring,
            "--dtype",
            dtype,
            "--threads",
            threads,
            "--port",
            str(PORTS["upbring"]),
        ]
    }
    if find_spec("fastapi"):  # which it needs
        start = "from transformers.cli.transformers import main; main()"
        words = [sys.executable, "-c", start, "serve", "--port", str(PORTS["transformers serve"])]
        found["transformers serve"] = [*words, "--dtype", dtype, "--continuous-batching", model]
    if given.gguf and find_spec("xllamacpp"):
        port = str(PORTS["llama.cpp"])
        most = str(max(given.streams))
        found["llama.cpp"] = [sys.executable, "-c", LLAMA, str(given.gguf), port, threads, most]
    return found


def main() -> None:
    """Measure and print; with --record, append the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--gguf", type=Path)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--logs", type=Path, default=Path())
    add_record_flag(parser)
    given = parser.parse_args()
    words = server_words(given)
    names = {"transformers serve": str(given.model)}
    times: dict[tuple[str, int], list[float]] = {}
    firsts: dict[tuple[str, int], list[float]] = {}
    servers: dict[str, int] = {}
    with ExitStack() as stack:
        for name, each in words.items():
            log = given.logs / f"{name.replace(' ', '-')}.log"
            servers[name] = stack.enter_context(server(each, PORTS[name], log))
        loop = stack.enter_context(generate_loop(given))
        start = 0
        for number in range(-1, given.rounds):  # the first round warms up
            for streams in given.streams if number >= 0 else [2]:
                for name in words:
                    start += streams
                    served = names.get(name, "default")
                    with alone(name, servers):
                        seconds, found = run_round(
                            PORTS[name], served, streams, given.tokens, start
                        )
                    if number >= 0:
                        times.setdefault((name, streams), []).append(seconds)
                        firsts.setdefault((name, streams), []).extend(e.first for e in found)
                start += streams
                with alone("generate", servers):
                    seconds = loop([dialogue(start + n) for n in range(streams)])
                if number >= 0:
                    times.setdefault(("generate", streams), []).append(seconds)
    report(given, times, firsts)


@contextmanager
def generate_loop(given: argparse.Namespace) -> Iterator[object]:
    """Return a function that generates for a batch and returns the seconds."""
    words = [sys.executable, "-c", GENERATE, str(given.model), given.dtype]
    words += [str(given.threads), str(given.tokens)]
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdin is not None, "a pipe"
    assert process.stdout is not None, "a pipe"
    process.stdout.readline()

    def run(dialogues: list[list[dict[str, str]]]) -> float:
        print(json.dumps(dialogues), file=process.stdin, flush=True)
        return float(process.stdout.readline())

    try:
        yield run
    finally:
        process.kill()
        process.communicate()


def report(
    given: argparse.Namespace,
    times: dict[tuple[str, int], list[float]],
    firsts: dict[tuple[str, int], list[float]],
) -> None:
    """Print a table; with --record, append its figures."""
    figures = []
    for (name, streams), seconds in sorted(times.items(), key=lambda item: item[0][1]):
        speeds = [streams * given.tokens / each for each in seconds]
        speed = float(np.median(speeds))
        line = f"{name:<20} {streams:>3} streams {speed:8.1f} tokens/s"
        note = f"{name}; {given.tokens} tokens each, {given.rounds} rounds"
        shared: Case = {"model": Path(given.model).name, "precision": given.dtype, "note": note}
        figures.append(
            Figure(
                question="serving",
                metric=f"{name}: tokens per second at {streams} streams",
                value=round(speed, 1),
                unit="tokens/s",
                **shared,
            )
        )
        if waits := firsts.get((name, streams)):
            median, late = (float(np.percentile(waits, q)) for q in (50, 95))
            line += f"   first token {1000 * median:7.0f} ms, p95 {1000 * late:7.0f} ms"
            for label, value in (("median", median), ("p95", late)):
                figures.append(
                    Figure(
                        question="serving",
                        metric=f"{name}: time to first token at {streams} streams, {label}",
                        value=round(1000 * value),
                        unit="ms",
                        **shared,
                    )
                )
        print(line)
    if given.record:
        record(figures, threads=given.threads)


if __name__ == "__main__":
    main()
