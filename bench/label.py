"""The labeling server under load and kills, and its page in a browser.

    python bench/label.py kills     # annotators vote while the server is killed again and again
    python bench/label.py latency   # each annotator votes every two seconds
    python bench/label.py page      # rankings per minute with the keyboard; needs Chromium
    python bench/label.py access --axe axe.min.js   # accessibility violations on every page

A vote is acknowledged when its reply has arrived. After a kill, a client sends the same vote with
the same key until it is acknowledged. `axe.min.js` comes from the npm package axe-core.
"""

import argparse
import contextlib
import http.client
import json
import random
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from results import Figure, add_record_flag, record

from upbring.feedback.labeling.access import Access
from upbring.votes.store import STORE_FILE, open_store

HOST = "127.0.0.1"
QUESTION = "human labels"
RETRY_SECONDS = 0.05
NUM_RESPONSES = 4
WAIT_SECONDS = 60.0
SELECTORS = {"annotator": "#measures tr", "overview": "#annotators tr"}  # of pages


@dataclass
class Ledger:
    """What the clients know: acknowledged keys and the seconds until each acknowledgment."""

    keys: set[str] = field(default_factory=set)
    seconds: list[float] = field(default_factory=list)
    retries: int = 0
    mutex: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class KillResult:
    """What the store holds after the kills, compared with what was acknowledged."""

    acknowledged: int
    stored: int
    lost: int
    duplicates: int
    wrong_overlap: int
    is_intact: bool
    retries: int


@dataclass(frozen=True)
class Server:
    """The command line's own server on a fixed port, in a process of its own."""

    folder: Path
    port: int
    overlap: int

    def start(self) -> "subprocess.Popen[bytes]":
        """Start it and wait until it accepts connections."""
        words = [sys.executable, "-m", "upbring", "label", "--responses", "answers.jsonl"]
        words += ["--to", "labels", "--port", str(self.port), "--overlap", str(self.overlap)]
        words += ["--repeat-every", "0"]
        process = subprocess.Popen(words, cwd=self.folder, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                socket.create_connection((HOST, self.port), timeout=1).close()
                return process
            time.sleep(RETRY_SECONDS)
        raise SystemExit("the server does not start; run the command by hand to see why")


class Annotator:
    """A client that votes until nothing is left, through kills of the server."""

    def __init__(self, port: int, token: str, name: str, ledger: Ledger) -> None:
        self._port, self._name, self._ledger = port, name, ledger
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._connection = http.client.HTTPConnection(HOST, port, timeout=20)

    def vote_all(self, *, think_seconds: float, votes: int | None) -> None:
        """Vote with a random ranking on each item, `votes` times at most."""
        draws = random.Random(self._name)  # noqa: S311 -- a test's
        time.sleep(draws.random() * think_seconds)
        reply = self._call("GET", "/api/item", None)
        number = 0
        while reply["item"] is not None and (votes is None or number < votes):
            due = time.monotonic() + think_seconds
            key = f"{self._name}-{number}"
            places = [draws.randint(1, NUM_RESPONSES) for _ in range(NUM_RESPONSES)]
            vote = {"outcome": "ranked", "places": places}
            started = time.monotonic()
            body = {"key": key, "ticket": reply["item"]["ticket"], "vote": vote}
            reply = self._call("POST", "/api/vote", body)
            with self._ledger.mutex:
                self._ledger.keys.add(f"{self._name}:{key}")
                self._ledger.seconds.append(time.monotonic() - started)
            number += 1
            time.sleep(max(0.0, due - time.monotonic()))
        self._connection.close()

    def _call(self, method: str, path: str, body: object) -> Any:  # noqa: ANN401 -- JSON
        while True:
            try:
                text = None if body is None else json.dumps(body)
                self._connection.request(method, path, text, self._headers)
                response = self._connection.getresponse()
                data = response.read()
                if response.status == http.HTTPStatus.OK:
                    return json.loads(data)
                if response.status != http.HTTPStatus.TOO_MANY_REQUESTS:
                    raise SystemExit(f"{response.status}: {data.decode()}")
            except (OSError, http.client.HTTPException):
                self._connection.close()
            with self._ledger.mutex:
                self._ledger.retries += 1
            time.sleep(RETRY_SECONDS)


def run_with_kills(
    folder: Path,
    *,
    annotators: int,
    votes: int,
    kills: int,
    overlap: int = 2,
    think_seconds: float = 0.0,
) -> tuple[KillResult, Ledger]:
    """Let annotators vote `votes` times each on average, and kill the server in between."""
    total = annotators * votes
    server, tokens = prepare(folder, num_items=total // overlap, annotators=annotators)
    server = Server(folder, server.port, overlap)
    ledger = Ledger()
    clients = [Annotator(server.port, token, name, ledger) for name, token in tokens.items()]
    limit = votes if think_seconds else None
    work = [
        threading.Thread(
            target=client.vote_all, kwargs={"think_seconds": think_seconds, "votes": limit}
        )
        for client in clients
    ]
    process = server.start()
    try:
        for thread in work:
            thread.start()
        draws = random.Random(0)  # noqa: S311 -- a test's
        for number in range(kills):
            due = total * (number + draws.random()) / (kills + 1)
            while len(ledger.keys) < due and any(thread.is_alive() for thread in work):
                time.sleep(0.002)
            process.kill()
            process.wait()
            process = server.start()
        for thread in work:
            thread.join()
    finally:
        process.kill()
        process.wait()
    return compare(folder / "labels", ledger, overlap=None if limit else overlap), ledger


def prepare(folder: Path, *, num_items: int, annotators: int) -> tuple[Server, dict[str, str]]:
    """Write the responses and add the annotators; return the server and tokens by id."""
    rows = (
        {"prompt": f"question {n}", "responses": [f"{n}.{k}" for k in range(NUM_RESPONSES)]}
        for n in range(num_items)
    )
    (folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with open_store(folder / "labels") as store:
        access = Access(store, owner_name="me")
        added = [access.owner]
        added += [store.add_annotator(f"annotator {n}") for n in range(1, annotators)]
        tokens = {str(each.annotator_id): access.token_of(each) for each in added}
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    return Server(folder, port, 1), tokens


def compare(labels: Path, ledger: Ledger, *, overlap: int | None) -> KillResult:
    """Compare the store with what was acknowledged."""
    with open_store(labels, read_only=True) as store:
        votes = store.votes()
    connection = sqlite3.connect(labels / STORE_FILE)
    (check,) = connection.execute("PRAGMA integrity_check").fetchone()
    connection.close()
    keys = [vote.key for vote in votes]
    pairs = {(vote.annotator.annotator_id, vote.item_id) for vote in votes}
    counts = Counter(vote.item_id for vote in votes)
    return KillResult(
        acknowledged=len(ledger.keys),
        stored=len(votes),
        lost=len(ledger.keys - set(keys)),
        duplicates=len(votes) - min(len(set(keys)), len(pairs)),
        wrong_overlap=sum(count != overlap for count in counts.values()) if overlap else 0,
        is_intact=check == "ok",
        retries=ledger.retries,
    )


def measure_kills(given: argparse.Namespace) -> list[Figure]:
    """Print and return what kills of the server did."""
    with tempfile.TemporaryDirectory() as folder:
        found, _ = run_with_kills(
            Path(folder), annotators=given.annotators, votes=given.votes, kills=given.kills
        )
    print(found)
    note = f"{given.annotators} annotators, {given.kills} × kill -9, overlap 2"
    names = {
        "acknowledged votes lost": found.lost,
        "votes stored twice": found.duplicates,
        "items without exactly the overlap": found.wrong_overlap,
    }
    return [
        Figure(question=QUESTION, metric=m, value=v, unit="votes", n=found.acknowledged, note=note)
        for m, v in names.items()
    ]


def measure_latency(given: argparse.Namespace) -> list[Figure]:
    """Print and return the time until a vote is acknowledged."""
    with tempfile.TemporaryDirectory() as folder:
        _, ledger = run_with_kills(
            Path(folder),
            annotators=given.annotators,
            votes=given.votes,
            kills=0,
            think_seconds=2.0,
        )
    ordered = sorted(ledger.seconds)
    figures = []
    for percent in (50, 95, 99):
        value = 1000 * ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
        print(f"p{percent} {value:.1f} ms of {len(ordered)} votes")
        note = f"{given.annotators} clients, each votes every 2 s; clients on the same machine"
        metric = f"time until a vote is acknowledged, p{percent}"
        n = len(ordered)
        figures.append(
            Figure(question=QUESTION, metric=metric, value=value, unit="ms", n=n, note=note)
        )
    return figures


@contextlib.contextmanager
def browser_page(num_responses: Sequence[int], **options: object) -> Iterator[tuple[Any, str]]:
    """Yield a browser's page and the server's address with a token."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 -- only for these figures

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        server, tokens = prepare(folder, num_items=0, annotators=1)
        rows = (
            {
                "prompt": f"Explain item {n} in one sentence.",
                "responses": [f"Item {n} is thing number {k}." for k in range(count)],
            }
            for n, count in enumerate(num_responses)
        )
        (folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        process = server.start()
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        try:
            page = browser.new_context(**options).new_page()
            yield page, f"http://{HOST}:{server.port}/?token={next(iter(tokens.values()))}"
        finally:
            browser.close()
            process.kill()
            process.wait()


def measure_page(given: argparse.Namespace) -> list[Figure]:
    """Print and return the rankings per minute that the page takes from a keyboard."""
    count = given.rankings
    with browser_page([NUM_RESPONSES] * count) as (page, url):
        page.goto(url)
        page.wait_for_selector(".card")
        started = time.monotonic()
        for number in range(1, count + 1):
            for digit in random.Random(number).sample("1234", 4):  # noqa: S311 -- a test's
                page.keyboard.press(digit)
            page.keyboard.press("Enter")
            page.wait_for_selector(f"#count:has-text('{number} of'), #empty h2")
        rate = 60 * count / (time.monotonic() - started)
    print(f"{rate:.0f} rankings of {NUM_RESPONSES} responses per minute, 0 mouse events")
    metric = f"rankings of {NUM_RESPONSES} responses that the page takes from a keyboard"
    return [
        Figure(
            question=QUESTION,
            metric=metric,
            value=rate,
            unit="per minute",
            n=count,
            note="headless Chromium, five keys each, 0 mouse events; a bound for people",
        )
    ]


def measure_access(given: argparse.Namespace) -> list[Figure]:
    """Print and return the accessibility violations that axe-core finds."""
    script = given.axe.read_text(encoding="utf-8")
    found: list[str] = []
    pages = 0
    for scheme in ("light", "dark"):
        with browser_page([4, 2, 9], bypass_csp=True, color_scheme=scheme) as (page, url):
            page.goto(url)
            for state in ("", "1234 Enter", "ArrowLeft", "?", "Escape x", *SELECTORS):
                if state in SELECTORS:
                    page.goto(url.replace("/?", f"/{state}?"))
                    page.wait_for_selector(SELECTORS[state])
                else:
                    page.wait_for_selector(".card, #empty h2")
                    for key in state.split():
                        for each in [*key] if key.isdigit() else [key]:
                            page.keyboard.press(each)
                    time.sleep(1.0)  # until the next item is shown
                page.evaluate(script)
                report = page.evaluate("() => axe.run(document)")
                pages += 1
                found += [
                    f"{scheme} {state or 'first'}: {each['id']}: {each['nodes'][0]['html'][:120]}"
                    for each in report["violations"]
                ]
    print(*found, f"{len(found)} violations in {pages} states of the pages", sep="\n")
    return [
        Figure(
            question=QUESTION,
            metric="accessibility violations on the page",
            value=len(found),
            unit="violations",
            n=pages,
            note="axe-core, all rules; states of the page in light and dark",
        )
    ]


MEASURES = {
    "kills": measure_kills,
    "latency": measure_latency,
    "page": measure_page,
    "access": measure_access,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=MEASURES)
    parser.add_argument("--annotators", type=int, default=50)
    parser.add_argument("--votes", type=int, default=200)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--rankings", type=int, default=60)
    parser.add_argument("--axe", type=Path)
    add_record_flag(parser)
    given = parser.parse_args()
    figures = MEASURES[given.what](given)
    if given.record:
        record(figures)


if __name__ == "__main__":
    main()
