"""Two answers side by side, blind; a choice between them becomes a vote in the vote store.

    POST /api/comparisons               {models, messages, …}: {id}
    POST /api/comparisons/ID/SIDE       streams the answer of side 0 or 1
    POST /api/comparisons/ID/choice     {choice}: stores the vote and reveals the models

The server decides which model is on which side; until the choice, no reply names one.
"""

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from upbring.errors import UpbringError
from upbring.serve.http.api_errors import NOT_FOUND, ApiError
from upbring.serve.http.chat_completions import ChatRequest, read_chat_request
from upbring.serve.http.dialogues import plain_messages, read_messages
from upbring.serve.http.event_stream import DONE, EventStream, format_event
from upbring.serve.http.fields import Fields, read_fields
from upbring.serve.http.generation import generating
from upbring.serve.http.served_models import served_models
from upbring.votes.records import LabelResponse, NewItem, NewVote
from upbring.votes.store import open_store

MAX_COMPARISONS = 256  # that wait for a choice
ANNOTATOR = "chat page"
PLACES = {"left": (1, 2), "right": (2, 1), "tie": (1, 1), "bad": (1, 1)}
CONFLICT = 409


@dataclass(slots=True, eq=False)
class BlindComparison:
    """Two requests in the order of the sides, and their answers so far."""

    requests: tuple[ChatRequest, ChatRequest]
    item_fields: Fields
    texts: list[str] = field(default_factory=lambda: ["", ""])
    finished: set[int] = field(default_factory=set)
    choice: str | None = None


@dataclass(eq=False)
class BlindComparisons:
    """The comparisons of a server, and the folder of its votes."""

    votes: Path
    by_id: OrderedDict[str, BlindComparison] = field(default_factory=OrderedDict)

    def routes(self) -> list[Route]:
        """Return the paths of the comparisons."""
        path = "/api/comparisons"
        return [
            Route(path, self.start, methods=["POST"]),
            Route(path + "/{id}/choice", self.choose, methods=["POST"]),
            Route(path + "/{id}/{side:int}", self.stream, methods=["POST"]),
        ]

    async def start(self, request: Request) -> JSONResponse:
        """Make a comparison of two models, each on a random side."""
        served, fields = served_models(request), read_fields(await request.body())
        names = fields.array("models", most=2)
        if len(names) != 2 or not all(isinstance(name, str) for name in names):  # noqa: PLR2004 -- a pair
            raise fields.fail("models", "an array of two names")
        if secrets.randbits(1):
            names = names[::-1]
        shared = {**fields.values, "n": 1, "stream": True}
        first, second = (
            read_chat_request(served, Fields({**shared, "model": name})) for name in names
        )
        number = secrets.token_urlsafe(12)
        self.by_id[number] = BlindComparison((first, second), fields)
        while len(self.by_id) > MAX_COMPARISONS:
            self.by_id.popitem(last=False)
        return JSONResponse({"id": number})

    async def stream(self, request: Request) -> EventStream:
        """Stream the answer of one side."""
        comparison, side = self._find(request), request.path_params["side"]
        if side not in {0, 1}:
            raise ApiError("side: use 0 or 1", param="side")
        await request.body()
        return EventStream(_events(comparison, side))

    async def choose(self, request: Request) -> JSONResponse:
        """Store a choice and reveal the models; the same choice again stores nothing else."""
        comparison = self._find(request)
        fields = read_fields(await request.body())
        choice = fields.choice("choice", "", PLACES)
        if comparison.finished != {0, 1} or not choice:
            raise ApiError(
                "choice: both answers must be complete; use " + " or ".join(PLACES), param="choice"
            )
        if comparison.choice is None:
            number = request.path_params["id"]
            await asyncio.to_thread(self._store, number, comparison, choice)
            comparison.choice = choice
        return JSONResponse({"models": [each.model.name for each in comparison.requests]})

    def _find(self, request: Request) -> BlindComparison:
        comparison = self.by_id.get(request.path_params["id"])
        if comparison is None:
            raise ApiError("this comparison is not known any more", status=NOT_FOUND)
        return comparison

    def _store(self, number: str, comparison: BlindComparison, choice: str) -> None:
        """Write the vote; when this returns, it is on the disk."""
        prompt = tuple(plain_messages(read_messages(comparison.item_fields)))
        pairs = zip(comparison.texts, comparison.requests, strict=True)
        responses = tuple(LabelResponse(text, each.model.name) for text, each in pairs)
        vote = NewVote("ranked", PLACES[choice], all_bad=choice == "bad")
        try:
            with open_store(self.votes) as store:
                (item_id,) = store.add_items([NewItem(prompt, responses)])
                annotator = store.add_annotator(ANNOTATOR).annotator_id
                key = f"chat-{number}"
                store.import_vote(key, annotator, item_id, vote, at=time.time())
        except UpbringError as error:
            raise ApiError(str(error), status=CONFLICT) from error


async def _events(comparison: BlindComparison, side: int) -> AsyncGenerator[bytes, None]:
    """Yield the text of one side; a second stream begins anew."""
    request = comparison.requests[side]
    comparison.texts[side] = ""
    comparison.finished.discard(side)
    async with generating(request.served.engine, [request.task]) as progress:
        async for each in progress:
            comparison.texts[side] += each.progress.text
            yield format_event({"text": each.progress.text})
    comparison.finished.add(side)
    yield format_event(DONE)
