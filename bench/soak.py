"""Does a server's memory grow? Streams of random length and content, of which half are cut off.

    python bench/soak.py --model builtin:sprout --minutes 10 --streams 8

The memory of the server is read every five seconds; what counts is its growth after minute 2.
"""

import argparse
import http.client
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from results import Figure, add_record_flag, record
from serve import PORTS, TOPICS, server

QUESTION = "serving"
PORT = PORTS["upbring"]
SETTLED_SECONDS = 120
INTERVAL = 5


def ask(numbers: random.Random) -> None:
    """Stream an answer; perhaps leave in the middle."""
    text = " ".join(numbers.choices(TOPICS, k=numbers.randint(1, 120)))
    body = {
        "messages": [{"role": "user", "content": text}],
        "max_tokens": numbers.randint(1, 64),
        "temperature": numbers.choice([0.0, 1.0]),
        "stream": True,
    }
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=120)
    headers = {"Content-Type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    response = connection.getresponse()
    if response.status != 200:  # noqa: PLR2004 -- HTTP's OK
        raise SystemExit(f"{response.status}: {response.read()[:300]!r}")
    response.read(numbers.randint(1, 2000) if numbers.random() < 0.5 else None)  # noqa: PLR2004
    connection.close()


@contextmanager
def clients(count: int) -> Iterator[list[int]]:
    """Let clients ask until the block ends; yield how many requests each has made."""
    is_over = threading.Event()
    made = [0] * count

    def work(number: int) -> None:
        numbers = random.Random(number)  # noqa: S311 -- no secret
        while not is_over.is_set():
            ask(numbers)
            made[number] += 1

    threads = [threading.Thread(target=work, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def main() -> None:
    """Measure and print; with --record, append the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="builtin:sprout")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--streams", type=int, default=8)
    add_record_flag(parser)
    given = parser.parse_args()
    if 60 * given.minutes <= SETTLED_SECONDS + INTERVAL:
        parser.error("--minutes: must be more than 2, for growth is measured after minute 2")
    words = [sys.executable, "-m", "upbring", "serve", given.model, "--port", str(PORT)]
    readings: list[tuple[float, float]] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        server(words, PORT, Path(folder) / "log") as pid,
        clients(given.streams) as made,
    ):
        process, began = psutil.Process(pid), time.monotonic()
        while (passed := time.monotonic() - began) < 60 * given.minutes:
            readings.append((passed, process.memory_info().rss / 1e6))
            time.sleep(INTERVAL)
    early = max(mb for passed, mb in readings if passed <= SETTLED_SECONDS)
    late = max(mb for passed, mb in readings if passed > SETTLED_SECONDS)
    for start in range(0, int(60 * given.minutes), SETTLED_SECONDS):
        window = [mb for passed, mb in readings if start <= passed < start + SETTLED_SECONDS]
        if window:
            print(f"from minute {start // 60}: at most {max(window):,.1f} MB")
    growth = round(100 * (late / early - 1), 2)
    name = Path(given.model).name
    note = f"{given.minutes:g} minutes, {given.streams} at a time, {sum(made)} streams"
    print(
        f"{name}: {sum(made):,} streams; at most {early:,.1f} MB in the first two minutes, then "
        f"{late:,.1f} MB: {growth:+.2f} %"
    )
    if given.record:
        record(
            [
                Figure(
                    question=QUESTION,
                    metric="growth of memory after minute 2",
                    value=growth,
                    unit="%",
                    model=name,
                    note=note,
                )
            ]
        )


if __name__ == "__main__":
    main()
