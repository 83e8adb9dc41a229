"""Votes from Label Studio: tasks as JSON with results of the tags Pairwise and Ranker.

Pairwise compares the two fields that it names in `to_name`; the page writes the tag's own name
there, and then the left one is the first of two fields such as answer1 and answer2. Ranker orders
the task's list of items, by their ids; with buckets, one bucket must have all items. Cancelled,
empty and incomplete annotations are left out.

Without a bucket, an untouched order is submitted like a ranking, and nothing tells them apart. So
the order in which the page first shows the items is left out there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from upbring.data.read import dialogue
from upbring.data.read.row_errors import RowError
from upbring.data.read.rows import Fields, Row
from upbring.data.read.winner import find_pair
from upbring.errors import format_value
from upbring.votes.importing.imported_vote import (
    ImportedVote,
    ImportedVotes,
    find_prompt,
    parse_time,
    places_of,
    require_mapping,
)
from upbring.votes.records import LabelResponse

UNSORTED = "_"  # the list that Ranker with buckets shows at first
NO_RANKING = "annotations without a ranking"
PARTIAL = "rankings of only some of the items"
FIRST_ORDER = "rankings in the order that the page shows first, which may be untouched"


@dataclass(frozen=True, slots=True)
class RankedTexts:
    """The compared responses and their places."""

    texts: tuple[str, ...]
    places: tuple[int, ...]


def is_label_studio(fields: Fields) -> bool:
    """Whether a row is a task of Label Studio."""
    return {"annotations", "data"} <= fields.keys()


def read_label_studio(row: Row, found: ImportedVotes) -> None:
    """Add the votes of one task."""
    data = require_mapping(row.fields["data"], "data")
    annotations = row.fields["annotations"] or []
    if not annotations:
        found.left_out["tasks without annotations"] += 1
        return
    for number, each in enumerate(dialogue.require_list(annotations, "annotations")):
        path = f"annotations[{number}]"
        annotation = require_mapping(each, path)
        if annotation.get("was_cancelled"):
            found.left_out["annotations that were cancelled"] += 1
            continue
        ranked = _find_ranking(annotation, data, path)
        if isinstance(ranked, str):
            found.left_out[ranked] += 1
            continue
        lead_time = annotation.get("lead_time")
        found.votes.append(
            ImportedVote(
                row.line,
                find_prompt(data, "data")[1],
                tuple(map(LabelResponse, ranked.texts)),
                ranked.places,
                _annotator(annotation.get("completed_by")),
                parse_time(annotation.get("created_at")),
                float(lead_time) if isinstance(lead_time, int | float) else None,
            )
        )


def _find_ranking(
    annotation: Mapping[str, object], data: Mapping[str, object], path: str
) -> RankedTexts | str:
    """Return the first ranking of an annotation, or why there is none."""
    results = annotation.get("result")
    if not results:
        return NO_RANKING  # submitted without a choice
    for number, each in enumerate(dialogue.require_list(results, f"{path}.result")):
        where = f"{path}.result[{number}]"
        result = require_mapping(each, where)
        value = result.get("value")
        if result.get("type") == "pairwise" and isinstance(value, dict):
            return _read_pairwise(result, value, data, where)
        if result.get("type") == "ranker" and isinstance(value, dict):
            return _read_ranker(value.get("ranker"), data, f"{where}.value.ranker")
    return NO_RANKING


def _read_pairwise(
    result: Mapping[str, object], value: Mapping[str, object], data: Mapping[str, object], path: str
) -> RankedTexts:
    names = str(result.get("to_name", "")).split(",")
    if len(names) != 2 or not all(name in data for name in names):  # noqa: PLR2004 -- a pair
        pair = find_pair(data)
        if pair is None:
            found = f"compares {', '.join(names)}, and the task's data has {', '.join(data)}"
            raise RowError(path, found, "name the two fields answer1 and answer2")
        names = [*pair.fields]
    selected = value.get("selected")
    if selected not in {"left", "right"}:
        raise RowError(
            f"{path}.value.selected", f"is {format_value(selected)}", "use left or right"
        )
    texts = tuple(dialogue.require_text(data[name], f"data.{name}") for name in names)
    return RankedTexts(texts, (1, 2) if selected == "left" else (2, 1))


def _read_ranker(value: object, data: Mapping[str, object], path: str) -> RankedTexts | str:
    items = _items(data)
    order, has_unsorted = value, False
    if isinstance(value, dict):
        filled = {name: ids for name, ids in value.items() if ids}
        sorted_into = [name for name in filled if name != UNSORTED]
        if len(sorted_into) > 1:
            found = f"sorts into {', '.join(sorted_into)}, which is no order of all items"
            raise RowError(path, found, "export a project with one bucket")
        if not sorted_into:
            return NO_RANKING  # untouched
        if UNSORTED in filled:
            return PARTIAL
        order, has_unsorted = filled[sorted_into[0]], UNSORTED in value
    ids = dialogue.require_list(order, path)
    if not has_unsorted and ids == list(items):
        return FIRST_ORDER
    return RankedTexts(tuple(items.values()), places_of(ids, tuple(items), path))


def _items(data: Mapping[str, object]) -> Mapping[str, str]:
    """Return the texts of the task's items by id."""
    for name, value in data.items():
        if _is_item_list(value):
            return {
                str(item["id"]): dialogue.require_text(
                    item.get("body") or item.get("html") or item.get("title"), f"data.{name}"
                )
                for item in value  # type: ignore[attr-defined]  # a list of objects, as checked
            }
    todo = 'give them as "items": [{"id": "a", "body": "…"}, …]'
    raise RowError("data", f"has no list of items among {', '.join(data)}", todo)


def _is_item_list(value: object) -> bool:
    is_list = isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 1
    return is_list and all(isinstance(item, dict) and "id" in item for item in value)  # type: ignore[attr-defined]  # a sequence, as checked


def _annotator(value: object) -> str:
    """Return the name of who completed an annotation: an id, or an object of the user."""
    if isinstance(value, dict):
        return str(value.get("email") or value.get("id"))
    return str(value)
