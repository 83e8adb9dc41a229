"""A labeling server on loopback in a thread, with clients that send what the page sends."""

import contextlib
import http.client
import json
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.votes.stored import new_item
from upbring.feedback.labeling.access import Access
from upbring.feedback.labeling.app import LabelApi, label_app, server_options
from upbring.feedback.labeling.overview import ROUTES
from upbring.votes.assignment import AssignmentRules
from upbring.votes.records import NewItem
from upbring.votes.store import VoteStore, open_store
from upbring.web.guard import LOOPBACK, WebAddress
from upbring.web.server import bind_socket, make_server


@dataclass(frozen=True)
class Client:
    """One browser with a token."""

    port: int
    token: str

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=20)
        sent = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        try:
            text = None if body is None else json.dumps(body)
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, text, {**sent, **named})
            response = connection.getresponse()
            data = response.read().decode()
            is_json = response.headers.get_content_type() == "application/json"
            return response.status, json.loads(data) if is_json else data
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        status, reply = self.send("GET", path)
        assert status == 200, reply
        return reply

    def post(self, path: str, **body: Any) -> Any:
        status, reply = self.send("POST", path, body)
        assert status == 200, reply
        return reply

    def vote(self, ticket: str, *places: int, key: str = "", **more: Any) -> Any:
        vote = {
            "outcome": "ranked" if places else "cannot_say",
            "places": [*places] or None,
            **more,
        }
        return self.post("/api/vote", key=key or secrets.token_hex(8), ticket=ticket, vote=vote)


@dataclass(frozen=True)
class Labeling:
    store: VoteStore
    address: WebAddress
    api: LabelApi
    growing: list[bool] = field(default_factory=list)

    @property
    def owner(self) -> Client:
        return Client(self.address.port, self.address.token)

    def client(self, name: str, *, adjudicates: bool = False) -> Client:
        annotator = self.store.add_annotator(name, adjudicates=adjudicates)
        return Client(self.address.port, self.api.access.token_of(annotator))


@contextlib.contextmanager
def labeling(
    folder: Path,
    items: int | Sequence[NewItem] = 3,
    *,
    rules: AssignmentRules | None = None,
    is_growing: Callable[[], bool] = lambda: False,
) -> Iterator[Labeling]:
    """Serve a store with items until the block ends."""
    new = [new_item(number) for number in range(items)] if isinstance(items, int) else items
    with open_store(folder, rules=rules) as store, bind_socket(0) as listener:
        store.add_items(new)
        api = LabelApi(store, Access(store, owner_name="me"), is_growing)
        options = server_options(api, host=LOOPBACK)
        server, address = make_server(label_app(api, ROUTES), listener, options=options)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Labeling(store, address, api)
        finally:
            server.should_exit = True
            thread.join(timeout=20)
            assert not thread.is_alive()
