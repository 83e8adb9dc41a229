"""Votes from annotated-pairs files (version 2.0): pairs with the preference of each annotator.

    {"metadata": {"version": "2.0"}, "annotators": {"id": {"name", "type"}},
     "comparisons": [{"prompt", "response_a": {"text"}, "response_b": {"text"},
                      "annotations": {"id": {"pref": "a"}}}]}

Preferences of principles are a judge's and not a person's; they are left out.
"""

from collections.abc import Mapping

from upbring.data.read import dialogue
from upbring.data.read.row_errors import RowError
from upbring.data.read.rows import Fields
from upbring.errors import format_value
from upbring.votes.importing.imported_vote import (
    ImportedVote,
    ImportedVotes,
    parse_prompt,
    present_items,
    require_mapping,
)
from upbring.votes.records import LabelResponse

VERSION = "2.0"
PLACES = {"a": (1, 2), "b": (2, 1), "tie": (1, 1)}


def is_annotated_pairs(fields: Fields) -> bool:
    """Whether the object of a file is in this format."""
    return {"annotators", "comparisons"} <= fields.keys()


def read_annotated_pairs(fields: Fields, found: ImportedVotes, *, lines: Mapping[int, int]) -> None:
    """Add the votes of a file; `lines` has the line of each comparison, by index."""
    version = dict(present_items(fields.get("metadata"))).get("version")
    if version != VERSION:
        found_text = f"is {format_value(version)}"
        raise RowError("metadata.version", found_text, f"convert the file to version {VERSION}")
    annotators = require_mapping(fields["annotators"], "annotators")
    for index, each in enumerate(dialogue.require_list(fields["comparisons"], "comparisons")):
        try:
            _read_comparison(
                each, annotators, found, path=f"comparisons[{index}]", line=lines[index]
            )
        except RowError as error:
            error.line = lines[index]
            raise


def _read_comparison(
    value: object,
    annotators: Mapping[str, object],
    found: ImportedVotes,
    *,
    path: str,
    line: int,
) -> None:
    comparison = require_mapping(value, path)
    prompt = parse_prompt(comparison.get("prompt"), f"{path}.prompt")
    responses = []
    for side in ("response_a", "response_b"):
        response = require_mapping(comparison.get(side), f"{path}.{side}")
        model = response.get("model")
        text = dialogue.require_text(response.get("text"), f"{path}.{side}.text")
        responses.append(LabelResponse(text, model if isinstance(model, str) else ""))
    for annotator_id, annotation in present_items(comparison.get("annotations")):
        about = dict(present_items(annotators.get(annotator_id)))
        if about.get("type") == "principle":
            found.left_out["preferences of principles"] += 1
            continue
        preference = require_mapping(annotation, f"{path}.annotations.{annotator_id}").get("pref")
        if preference is None:
            found.left_out["annotations without a preference"] += 1
            continue
        if preference not in PLACES:
            where = f"{path}.annotations.{annotator_id}.pref"
            raise RowError(where, f"is {format_value(preference)}", "use a, b or tie")
        name = f"{about.get('name', 'annotator')} ({annotator_id})"
        places = PLACES[str(preference)]
        found.votes.append(ImportedVote(line, prompt, tuple(responses), places, name))
