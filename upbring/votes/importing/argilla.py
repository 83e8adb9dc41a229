"""Votes from Argilla: records as JSON with the responses of a ranking question.

Reads the records of the server's API, and the feedback records of Argilla 1, which have the same
form. The options of the question are names of text fields; the prompt is the field prompt, question
or instruction. Drafts and discarded responses are left out.

The SDK of Argilla 2 (seen in 2.8) drops ranks and statuses: `to_json`, `to_list` and `to_datasets`
give the options in the order of the question and not of the annotator. Such a list is refused.
"""

from collections.abc import Iterator, Mapping

from upbring.data.read import dialogue
from upbring.data.read.row_errors import RowError
from upbring.data.read.rows import Fields, Row
from upbring.errors import format_value
from upbring.votes.importing.imported_vote import (
    ImportedVote,
    ImportedVotes,
    find_prompt,
    present_items,
    require_mapping,
)
from upbring.votes.records import LabelResponse

EXPORT_ADVICE = (
    "save the items of the server's /api/v1/datasets/ID/records?include=responses, which have ranks"
)
Answer = tuple[str, str, object]  # question, annotator, value


def is_argilla(fields: Fields) -> bool:
    """Whether a row is a record of Argilla."""
    return {"fields", "responses"} <= fields.keys()


def read_argilla(row: Row, found: ImportedVotes) -> None:
    """Add the votes of one record."""
    texts = require_mapping(row.fields["fields"], "fields")
    num_before = len(found.votes)
    for question, annotator, value in _answers(row.fields, found):
        path = f"responses.{question}"
        places = _parse_ranking(value, path)
        if places is None:
            continue
        prompt_name, prompt = find_prompt(texts, "fields")
        names = [name for name, _ in present_items(texts) if name in places]
        for option in places:
            if option not in names or option == prompt_name:
                todo = "export a question whose options are names of text fields"
                raise RowError(path, f"ranks {format_value(option)}, which is no field", todo)
        responses = tuple(
            LabelResponse(dialogue.require_text(texts[name], f"fields.{name}")) for name in names
        )
        vote = tuple(places[name] for name in names)
        found.votes.append(ImportedVote(row.line, prompt, responses, vote, annotator))
    if len(found.votes) == num_before:
        found.left_out["records without a ranking"] += 1


def _answers(fields: Fields, found: ImportedVotes) -> Iterator[Answer]:
    responses = fields["responses"]
    if isinstance(responses, list):  # Argilla 1: a list of users' responses
        for number, each in enumerate(responses):
            response = require_mapping(each, f"responses[{number}]")
            if response.get("status", "submitted") != "submitted":
                found.left_out["responses that were not submitted"] += 1
                continue
            for question, value in present_items(response.get("values")):
                content = require_mapping(value, f"responses[{number}].values.{question}")
                yield question, str(response.get("user_id")), content.get("value")
        return
    for question, given in present_items(responses):
        for each in dialogue.require_list(given, f"responses.{question}"):
            answer = require_mapping(each, f"responses.{question}")
            yield question, str(answer.get("user_id")), answer.get("value")


def _parse_ranking(value: object, path: str) -> Mapping[str, int] | None:
    """Return the place of each option; None if the answer is no ranking.

    A ranking is a list of {value, rank}, which can have ties.
    """
    if not isinstance(value, list) or len(value) < 2:  # noqa: PLR2004 -- one is no ranking
        return None
    if all(isinstance(each, str) for each in value):
        raise RowError(path, "has options without ranks, which Argilla's SDK drops", EXPORT_ADVICE)
    if not all(isinstance(each, dict) and {"value", "rank"} <= each.keys() for each in value):
        return None  # spans, or several labels
    if any(isinstance(each["rank"], bool) or not isinstance(each["rank"], int) for each in value):
        raise RowError(path, "has a rank that is no whole number", EXPORT_ADVICE)
    ranks = sorted({each["rank"] for each in value})
    return {str(each["value"]): ranks.index(each["rank"]) + 1 for each in value}
