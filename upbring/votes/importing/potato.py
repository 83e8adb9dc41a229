"""Votes from Potato: an annotator's `user_state.json`, with the study's file of items.

The state has no texts, so that the items are needed: rows with an id, a prompt, and either a list
of two texts, which the scheme `pairwise` compares in its binary mode, or fields whose names are the
labels of the scheme `ranking`. A ranking is stored as names joined by commas; the names of the
fields are matched longest first. Other schemes (scales, dimensions, best-worst, text boxes) are no
votes, whatever they contain.
"""

import re
from collections.abc import Iterator, Mapping
from typing import TypeGuard

from upbring.data.read import dialogue
from upbring.data.read.records import Message
from upbring.data.read.row_errors import RowError
from upbring.data.read.rows import Fields
from upbring.errors import format_value
from upbring.votes.importing.imported_vote import (
    ImportedVote,
    ImportedVotes,
    find_prompt,
    places_of,
    present_items,
)
from upbring.votes.records import LabelResponse

ID_NAMES = ("id", "instance_id")
PAIR_PLACES = {"a": (1, 2), "b": (2, 1), "tie": (1, 1)}
SELECTION = "selection"  # the label of a pairwise scheme
RANK_ORDER = "rank_order"  # the label of a ranking scheme
PAIR_NAME = "text"  # the field of the two texts unless the scheme has `items_key`
STATES = "instance_id_to_label_to_value"


def is_potato(fields: Fields) -> bool:
    """Whether the object of a file is an annotator's state."""
    return {"user_id", STATES} <= fields.keys()


def read_potato(
    fields: Fields, found: ImportedVotes, *, items: Mapping[str, Fields], lines: Mapping[str, int]
) -> None:
    """Add the votes of a state; `lines` has the line of each item's answers, by id."""
    for item_id, answers in present_items(fields[STATES]):
        line = lines.get(item_id, 1)
        if item_id not in items:
            todo = "name the study's data file with --items"
            raise RowError(f"{STATES}.{item_id}", "is no id of the items", todo, line=line)
        num_before = len(found.votes)
        try:
            for scheme, label, value in _answers(answers, f"{STATES}.{item_id}"):
                vote = _read_answer(items[item_id], label, value, f"{item_id}.{scheme}")
                if vote is not None:
                    prompt, responses, places = vote
                    name = str(fields["user_id"])
                    found.votes.append(ImportedVote(line, prompt, responses, places, name))
        except RowError as error:
            error.line = line
            raise
        if len(found.votes) == num_before:
            found.left_out["items without a ranking"] += 1


def _answers(value: object, path: str) -> Iterator[tuple[str, str, str]]:
    """Yield scheme, label and value of the pairs [{schema, name}, value]."""
    for pair in dialogue.require_list(value, path) if value else []:
        if not isinstance(pair, list) or len(pair) != 2:  # noqa: PLR2004 -- a pair
            raise RowError(path, f"has {format_value(pair)}", "use the file as Potato wrote it")
        label = dict(present_items(pair[0]))
        yield str(label.get("schema")), str(label.get("name")), str(pair[1])


def _read_answer(
    item: Fields, label: str, value: str, path: str
) -> tuple[tuple[Message, ...], tuple[LabelResponse, ...], tuple[int, ...]] | None:
    """Return prompt, responses and places; None if the answer is neither a pair nor a ranking."""
    if label == SELECTION and value.casefold() in PAIR_PLACES:
        texts = _pair_texts(item, path)
        prompt_fields = {k: v for k, v in item.items() if not isinstance(v, list)}
        prompt = find_prompt(prompt_fields, "")[1]
        return prompt, tuple(map(LabelResponse, texts)), PAIR_PLACES[value.casefold()]
    if label != RANK_ORDER:
        return None
    prompt_name, prompt = find_prompt(item, "")
    names = [n for n, v in item.items() if isinstance(v, str) and n not in {prompt_name, *ID_NAMES}]
    order = _split_names(value, names)
    if order is None:
        found = (
            f"ranks {format_value(value)}, and the item has {', '.join(names) or 'no other text'}"
        )
        raise RowError(path, found, "name a file of items with a field for each ranked label")
    ranked = [name for name in names if name in order]
    texts = [dialogue.require_text(item[name], name) for name in ranked]
    return prompt, tuple(map(LabelResponse, texts)), places_of(order, ranked, path)


def _pair_texts(item: Fields, path: str) -> list[str]:
    pairs = {name: value for name, value in item.items() if _is_pair(value)}
    if not pairs:
        todo = "name the file of items that has a list of two texts for each id"
        raise RowError(path, "compares two texts that the item does not have", todo)
    if len(pairs) > 1 and PAIR_NAME not in pairs:
        todo = f"rename the compared one to {PAIR_NAME} in the file of items"
        raise RowError(path, f"compares one of the pairs {', '.join(pairs)} of the item", todo)
    name = PAIR_NAME if PAIR_NAME in pairs else next(iter(pairs))
    return [dialogue.require_text(text, f"items.{name}") for text in pairs[name]]


def _is_pair(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(x, str) for x in value)  # noqa: PLR2004 -- a pair


def _split_names(value: str, names: list[str]) -> list[str] | None:
    """Return the names in a text that is nothing but names joined by commas, else None.

    >>> _split_names("b,a, c", ["a", "a, c", "b"]), _split_names("a good one", ["a"])
    (['b', 'a, c'], None)
    """
    if not names:
        return None
    one = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    if not re.fullmatch(rf"(?:{one})(?:,\s*(?:{one}))+", value):
        return None
    return re.findall(rf"(?:{one})(?=,|$)", value)
