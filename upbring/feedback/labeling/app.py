"""The web application of `upbring label`: pages, and a JSON API for votes.

    GET  /                  the labeling page
    GET  /overview          progress, invitations, disagreements (the owner's)
    GET  /annotator         quality of one annotator's votes
    GET  /static/NAME       scripts and styles, from a fixed list
    GET  /api/item          the item that the annotator holds, or the next one
    POST /api/vote          stores a vote and returns the next item; safe to repeat
    POST /api/undo          takes the latest vote back and returns its item
    POST /api/renew         the page's heartbeat: extends the lease
    …    /api/overview, /api/annotators, /api/adjudicate: see `overview.py`

The guard in front has checked host, origin and token. Texts of responses are sent as JSON and never
as HTML; no field of any reply names a model. The process loads no model.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from upbring.errors import InputError, ResourceError
from upbring.feedback.labeling.access import Access
from upbring.feedback.labeling.item_view import item_json, others_json, vote_json
from upbring.feedback.labeling.vote_form import (
    MAX_KEY_CHARACTERS,
    parse_vote,
    require_object,
    require_string,
)
from upbring.votes.records import LabelAnnotator, Lease
from upbring.votes.store import LeaseError, VoteStore
from upbring.web.guard import GuardOptions, identity_of
from upbring.web.request_limits import RequestLimits
from upbring.web.server import ServerOptions
from upbring.web.static_files import read_static_files, static_response

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
PAGES = {"/": "label.html", "/overview": "overview.html", "/annotator": "annotator.html"}
PACKAGE = "upbring.feedback.labeling"
MAX_BODY_BYTES = 2**20
MAX_CONNECTIONS = 512
DISK_FULL = 507

Body = Mapping[str, Any]
Handler = Callable[["LabelApi", LabelAnnotator, Body], dict[str, Any]]


class ForbiddenError(InputError):
    """The annotator may not do this."""


@dataclass(eq=False)
class LabelApi:
    """The API's functions; each takes who asks and the body, and returns the reply.

    `is_growing` says whether more items may come: responses are still being generated.
    """

    store: VoteStore
    access: Access
    is_growing: Callable[[], bool] = lambda: False

    def item(self, annotator: LabelAnnotator, _: Body) -> dict[str, Any]:
        """Return the item that the annotator holds, or the next one."""
        lease = self.store.take_item(annotator.annotator_id)
        return self.item_reply(annotator, lease)

    def vote(self, annotator: LabelAnnotator, body: Body) -> dict[str, Any]:
        """Store a vote and return the next item."""
        key = _key(annotator, body)
        stored = self.store.find_vote(key)
        if stored is None:
            lease = self._held(annotator, body)
            vote = parse_vote(body.get("vote"), lease.order)
            self.store.submit(key, annotator.annotator_id, lease.item_id, vote)
        return {"saved": True, **self.item(annotator, {})}

    def undo(self, annotator: LabelAnnotator, body: Body) -> dict[str, Any]:
        """Take the latest vote back and return its item with what was voted."""
        undone = self.store.undo(_key(annotator, body), annotator.annotator_id)
        if undone is None:
            raise InputError("undo: there is nothing to undo")
        lease, vote = undone
        return {**self.item_reply(annotator, lease), "previous": vote_json(vote.vote, lease)}

    def renew(self, annotator: LabelAnnotator, body: Body) -> dict[str, Any]:
        """Extend the lease; `held` is false if the item was given to someone else."""
        try:
            lease = self._held(annotator, body)
        except LeaseError:
            return {"held": False}
        return {"held": self.store.renew(annotator.annotator_id, lease.item_id)}

    def item_reply(self, annotator: LabelAnnotator, lease: Lease | None) -> dict[str, Any]:
        """Return what the page needs to show a lease, or why there is none."""
        progress = self.store.progress(annotator.annotator_id)
        reply: dict[str, Any] = {
            "annotator": annotator.name,
            "is_owner": annotator == self.access.owner,
            "adjudicates": annotator.adjudicates,
            "done": progress.num_own,
            "total": progress.num_own + progress.num_left,
            "item": None,
            "growing": self.is_growing(),
        }
        if lease is None:
            return reply
        item = self.store.item(lease.item_id)
        reply["item"] = item_json(item, lease, ticket=self.access.ticket_of(lease))
        if lease.is_adjudication:
            votes = self.store.votes(item_id=lease.item_id)
            reply["item"]["others"] = others_json(votes, lease)
        return reply

    def _held(self, annotator: LabelAnnotator, body: Body) -> Lease:
        """Return the annotator's lease, whose ticket the body names."""
        ticket = require_string(body, "ticket", limit=MAX_KEY_CHARACTERS)
        lease = self.store.held(annotator.annotator_id)
        if lease is None or self.access.ticket_of(lease) != ticket:
            raise LeaseError("this item is done or was given to someone else")
        return lease


def label_app(api: LabelApi, more_routes: Mapping[str, tuple[str, Handler]]) -> Starlette:
    """Return the application; `more_routes` maps paths to a method and a function of the API."""
    routes = [
        Route("/static/{name}", partial(_static, read_static_files(PACKAGE))),
        *(Route(path, partial(_page, read_page(name))) for path, name in PAGES.items()),
    ]
    handlers: dict[str, tuple[str, Handler]] = {
        "/api/item": ("GET", LabelApi.item),
        "/api/vote": ("POST", LabelApi.vote),
        "/api/undo": ("POST", LabelApi.undo),
        "/api/renew": ("POST", LabelApi.renew),
        **more_routes,
    }
    routes += [
        Route(path, partial(_answer, api, handler), methods=[method])
        for path, (method, handler) in handlers.items()
    ]
    return Starlette(routes=routes)


def server_options(api: LabelApi, *, host: str) -> ServerOptions:
    """Return the guard and the limits for this application."""
    return ServerOptions(
        host=host,
        guard=GuardOptions(
            headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY},
            identify=api.access.identify,
        ),
        limits=RequestLimits(max_body_bytes=MAX_BODY_BYTES),
        max_connections=MAX_CONNECTIONS,
    )


def read_page(name: str) -> str:
    """Return a page of the package."""
    return files(PACKAGE).joinpath("pages", name).read_text(encoding="utf-8")


async def _page(text: str, _: Request) -> Response:
    return Response(text, media_type="text/html; charset=utf-8")


async def _static(texts: Mapping[str, str], request: Request) -> Response:
    return static_response(texts, request.path_params["name"])


async def _answer(api: LabelApi, handler: Handler, request: Request) -> Response:
    """Return the reply of an API function, or its error as JSON."""
    try:
        body = await _read_body(request)
        reply = await run_in_threadpool(_call, api, handler, request, body)
    except ForbiddenError as error:
        return _error(403, error)
    except LeaseError as error:
        return _error(409, error)
    except InputError as error:
        return _error(400, error)
    except ResourceError as error:
        return _error(DISK_FULL, error)
    return JSONResponse(reply)


def _call(api: LabelApi, handler: Handler, request: Request, body: Body) -> dict[str, Any]:
    return handler(api, api.access.annotator_of(identity_of(request.scope)), body)


async def _read_body(request: Request) -> Body:
    if request.method == "GET":
        return dict(request.query_params)
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise InputError("content-type: send application/json")
    try:
        return require_object(json.loads(await request.body()))
    except (ValueError, RecursionError) as error:
        raise InputError("body: is not JSON") from error


def _error(status: int, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status)


def _key(annotator: LabelAnnotator, body: Body) -> str:
    """Return the idempotency key; another annotator's equal key is another key."""
    key = require_string(body, "key", limit=MAX_KEY_CHARACTERS)
    if not key:
        raise InputError("key: is empty; send a new random one for each vote")
    return f"{annotator.annotator_id}:{key}"
