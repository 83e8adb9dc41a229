"""The part of the API for who runs the labeling: progress, invitations, disagreements, quality.

An annotator may see the own quality; everything else is the owner's and the adjudicators'.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from upbring.errors import InputError, format_value
from upbring.feedback.labeling.app import Body, ForbiddenError, Handler, LabelApi
from upbring.feedback.labeling.vote_form import require_string
from upbring.votes.consensus import disagreement, is_disputed
from upbring.votes.records import LabelAnnotator, LabelVote
from upbring.votes.store import MAX_NAME_CHARACTERS

if TYPE_CHECKING:
    from upbring.maths.statistics import Estimate

MAX_PREVIEW_CHARACTERS = 160
MAX_DISPUTES = 200


def overview(api: LabelApi, annotator: LabelAnnotator, _: Body) -> dict[str, Any]:
    """Return the numbers of the overview page."""
    _require_owner(api, annotator)
    votes = api.store.votes()
    progress = api.store.progress(annotator.annotator_id)
    by_annotator: dict[int, list[LabelVote]] = {}
    for vote in votes:
        by_annotator.setdefault(vote.annotator.annotator_id, []).append(vote)
    return {
        "items": progress.num_items,
        "open": progress.num_open,
        "votes": len(votes),
        "flags": sum(len(vote.vote.flags) for vote in votes),
        "comments": sum(bool(vote.vote.comment) for vote in votes),
        "demonstrations": sum(vote.vote.demonstration is not None for vote in votes),
        "growing": api.is_growing(),
        "annotators": [
            {
                "id": each.annotator_id,
                "name": each.name,
                "simulated": each.simulated,
                "adjudicates": each.adjudicates,
                "is_owner": each == api.access.owner,
                "votes": len(by_annotator.get(each.annotator_id, [])),
            }
            for each in api.store.annotators()
        ],
        "disputes": disputes(api, votes),
    }


def invite(api: LabelApi, annotator: LabelAnnotator, body: Body) -> dict[str, Any]:
    """Add an annotator and return the token of the invitation link."""
    _require_owner(api, annotator)
    name = require_string(body, "name", limit=MAX_NAME_CHARACTERS)
    adjudicates = body.get("adjudicates", False)
    if not isinstance(adjudicates, bool):
        raise InputError(f"adjudicates: is {format_value(adjudicates)}; send true or false")
    added = api.store.add_annotator(name, adjudicates=adjudicates)
    if added == api.access.owner:
        raise InputError(f"name: {added.name} is your own name; choose another one")
    return {"name": added.name, "token": api.access.token_of(added)}


def adjudicate(api: LabelApi, annotator: LabelAnnotator, body: Body) -> dict[str, Any]:
    """Lease an item on which votes disagree; without `item`, the most disputed one."""
    if not annotator.adjudicates:
        raise ForbiddenError("only an adjudicator may decide; ask who runs the labeling")
    queue = disputes(api, api.store.votes())
    wanted = body.get("item")
    found = [each for each in queue if wanted is None or each["item"] == wanted]
    if not found:
        raise InputError("no votes contradict each other; there is nothing to decide")
    lease = api.store.take_adjudication(annotator.annotator_id, found[0]["item"])
    return api.item_reply(annotator, lease)


def quality(api: LabelApi, annotator: LabelAnnotator, body: Body) -> dict[str, Any]:
    """Return the quality of an annotator's votes: the own, or for the owner of anyone."""
    from upbring.feedback.labeling.quality import annotator_quality  # noqa: PLC0415 -- loads scipy

    shown = annotator
    if body.get("id"):
        text = str(body["id"])
        if not text.isascii() or not text.isdecimal() or len(text) > 9:  # noqa: PLR2004 -- digits of an id
            raise InputError(f"id: {format_value(text)} is no annotator; open the overview")
        shown = api.access.annotator(int(text))
    if shown != annotator:
        _require_owner(api, annotator)
    items = {item.item_id: item for item in api.store.items()}
    found = annotator_quality(shown.annotator_id, api.store.votes(), items)
    return {
        "name": shown.name,
        "simulated": shown.simulated,
        "is_owner": annotator == api.access.owner,
        **{name: _to_json(getattr(found, name)) for name in found.__dataclass_fields__},
    }


def agreement(api: LabelApi, annotator: LabelAnnotator, _: Body) -> dict[str, Any]:
    """Return how far annotators agree with each other."""
    from upbring.feedback.labeling.agreement import group_agreement  # noqa: PLC0415 -- loads scipy

    _require_owner(api, annotator)
    found = group_agreement(api.store.votes(), api.store.items())
    return {name: _to_json(getattr(found, name)) for name in found.__dataclass_fields__}


def disputes(api: LabelApi, votes: list[LabelVote]) -> list[dict[str, Any]]:
    """Return the items on which votes disagree, the most disputed first."""
    by_item: dict[int, list[LabelVote]] = {}
    for vote in votes:
        by_item.setdefault(vote.item_id, []).append(vote)
    shares = {item_id: disagreement(each) for item_id, each in by_item.items() if is_disputed(each)}
    items = {item.item_id: item for item in api.store.items()} if shares else {}
    return [
        {
            "item": item_id,
            "disagreement": share,
            "votes": len(by_item[item_id]),
            "prompt": items[item_id].prompt[-1].content[:MAX_PREVIEW_CHARACTERS],
        }
        for item_id, share in sorted(shares.items(), key=lambda pair: (-pair[1], pair[0]))
        if items[item_id].gold_places is None
    ][:MAX_DISPUTES]


ROUTES: Mapping[str, tuple[str, Handler]] = {
    "/api/overview": ("GET", overview),
    "/api/agreement": ("GET", agreement),
    "/api/annotators": ("POST", invite),
    "/api/adjudicate": ("POST", adjudicate),
    "/api/quality": ("GET", quality),
}


def _require_owner(api: LabelApi, annotator: LabelAnnotator) -> None:
    if annotator != api.access.owner:
        raise ForbiddenError("only who runs the labeling may see this")


def _to_json(value: "Estimate | float") -> Any:  # noqa: ANN401 -- a number or an object of numbers
    if isinstance(value, int | float):
        return value if math.isfinite(value) else None
    return {name: _to_json(part or 0) for name, part in asdict(value).items()}
