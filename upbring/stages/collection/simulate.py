"""Simulated annotators of the toy world, who vote through the same HTTP API as people.

They see what a browser gets: texts in a shuffled order. The task of a prompt, which they need to
judge it, comes from the row that the store keeps with each item. Their votes are marked as
simulated.
"""

import contextlib
import http.client
import json
import threading
from collections.abc import Mapping
from typing import Any

from upbring.data.read.records import Message
from upbring.errors import InputError
from upbring.stages.collection.label import LabelServer
from upbring.toyworld.annotators import Annotator, annotators
from upbring.toyworld.tasks import Task, from_row
from upbring.votes.store import VoteStore
from upbring.web.guard import LOOPBACK

WAIT_SECONDS = 0.2  # for responses that are still generated
TIMEOUT_SECONDS = 60.0

Prompt = tuple[tuple[str, str], ...]


def simulate(server: LabelServer, *, count: int, seed: int) -> int:
    """Let simulated annotators vote until nothing is left; return the number of their votes."""
    thread = threading.Thread(target=server.wait)
    thread.start()
    try:
        group = annotators(seed=seed, count=count)
        failures: list[Exception] = []
        workers = [
            threading.Thread(target=_vote_all, args=(server, annotator, failures))
            for annotator in group
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if failures:
            raise failures[0]
        return sum(vote.annotator.simulated for vote in server.store.votes())
    finally:
        server.stop()
        thread.join()


def _vote_all(server: LabelServer, annotator: Annotator, failures: list[Exception]) -> None:
    try:
        added = server.store.add_annotator(annotator.name, simulated=True)
        client = ApiClient(server.address.port, server.api.access.token_of(added))
        with contextlib.closing(client):
            vote_all(client, annotator, server.store)
    except Exception as error:  # noqa: BLE001 -- raised again in the main thread
        failures.append(error)


def vote_all(client: "ApiClient", annotator: Annotator, store: VoteStore) -> None:
    """Vote on items until the server has none left."""
    tasks: Mapping[Prompt, Task] = {}
    number = 0
    reply = client.call("GET", "/api/item")
    while reply["item"] is not None or reply["growing"]:
        item = reply["item"]
        if item is None:
            threading.Event().wait(WAIT_SECONDS)
            reply = client.call("GET", "/api/item")
            continue
        prompt = tuple((turn["role"], turn["content"]) for turn in item["prompt"])
        if prompt not in tasks:
            tasks = tasks_by_prompt(store)
        if prompt not in tasks:
            raise InputError(
                "--simulate: the simulated annotators can only rank answers to the toy dataset's "
                "own prompts; use prompts from its files, or let people rank"
            )
        number += 1
        places = annotator.rank(tasks[prompt], item["responses"], index=number)
        vote = {"outcome": "ranked", "places": [*places]}
        body = {"key": f"simulated-{item['ticket']}", "ticket": item["ticket"], "vote": vote}
        reply = client.call("POST", "/api/vote", body)


def tasks_by_prompt(store: VoteStore) -> Mapping[Prompt, Task]:
    """Return the tasks of the toy world by prompt, from the rows in the store."""
    found: dict[Prompt, Task] = {}
    for item in store.items():
        row = json.loads(item.row) if item.row.startswith("{") else {}
        if "task" in row:
            found[_key(item.prompt)] = from_row(row)
    return found


class ApiClient:
    """One browser's connection to the API."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection(LOOPBACK, port, timeout=TIMEOUT_SECONDS)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 -- JSON
        """Return the reply to a request; the same request is sent once more if it fails."""
        for attempt in range(2):
            try:
                return self._send(method, path, body)
            except (OSError, http.client.HTTPException):
                self._connection.close()
                if attempt:
                    raise
        return None

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _send(self, method: str, path: str, body: object) -> Any:  # noqa: ANN401 -- JSON
        text = None if body is None else json.dumps(body)
        self._connection.request(method, path, text, self._headers)
        response = self._connection.getresponse()
        data = response.read().decode()
        if response.status == http.HTTPStatus.TOO_MANY_REQUESTS:
            threading.Event().wait(float(response.headers.get("Retry-After", "1")))
            return self._send(method, path, body)
        if response.status != http.HTTPStatus.OK:
            raise InputError(f"label server: {response.status}: {data[:300]}")
        return json.loads(data)


def _key(prompt: tuple[Message, ...]) -> Prompt:
    return tuple((message.role, message.content) for message in prompt)
