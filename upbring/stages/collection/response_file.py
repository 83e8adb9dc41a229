"""Rows of prompts with their responses as items to rank, from a finished or a growing file.

    {"prompt": "…", "responses": ["…", "…"], "models": ["a", "b"], "gold": [1, 2], "row": "…"}

`prompt` may be a list of messages; `models`, `gold` (known places) and `row` (the prompt's own
line) are optional. A growing file is read line by line: an unfinished last line is read later.
"""

from collections.abc import Iterator
from pathlib import Path

from upbring import durable
from upbring.data.read import dialogue
from upbring.data.read.records import Message
from upbring.data.read.row_errors import RowError
from upbring.data.read.rows import Fields, parse_object, read_rows
from upbring.errors import InputError
from upbring.plurals import format_count
from upbring.votes.records import MAX_RESPONSES, MIN_RESPONSES, LabelResponse, NewItem

RESPONSES_FILE = "responses.jsonl"  # in the folder of the votes
RESPONSE_FIELDS = ("responses", "completions", "answers")


def read_items(path: Path) -> Iterator[NewItem]:
    """Yield the items of a finished file; a malformed row raises with its line."""
    for row in read_rows(path):
        try:
            if row.problem is not None:
                raise row.problem
            yield parse_item(row.fields)
        except RowError as error:
            raise InputError(f"{path}:{row.line}: {error}") from error


class GrowingFile:
    """A file that another process appends rows to."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset, self._line = path, 0, 0

    def read_new(self) -> list[NewItem]:
        """Return the items of the lines that were completed since the last call."""
        if not self._path.is_file():
            return []
        with durable.explain_os_errors(self._path), self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        complete, _, _ = data.rpartition(b"\n")
        if not complete:
            return []
        self._offset += len(complete) + 1
        items = []
        for line in complete.split(b"\n"):
            self._line += 1
            try:
                items.append(parse_item(parse_object(line.decode())))
            except (RowError, UnicodeDecodeError) as error:
                raise InputError(
                    f"{self._path}:{self._line}: {error}; delete the file, and the responses are "
                    "generated again"
                ) from error
        return items


def parse_item(fields: Fields) -> NewItem:
    """Return the item in a row; raises RowError if it is malformed."""
    name = next((name for name in RESPONSE_FIELDS if name in fields), "responses")
    texts = [
        dialogue.require_text(text, f"{name}[{index}]")
        for index, text in enumerate(dialogue.require_list(fields.get(name), name))
    ]
    if not MIN_RESPONSES <= len(texts) <= MAX_RESPONSES:
        raise RowError(
            name,
            format_count(len(texts), "response"),
            f"give each prompt {MIN_RESPONSES} to {MAX_RESPONSES} of them",
        )
    models = [""] * len(texts)
    if fields.get("models"):
        models = [str(model) for model in dialogue.require_list(fields["models"], "models")]
    if len(models) != len(texts):
        raise RowError(
            "models",
            f"{format_count(len(models), 'model')} for {len(texts)} {name}",
            "name one for each",
        )
    return NewItem(
        _parse_prompt(fields),
        tuple(LabelResponse(text, model) for text, model in zip(texts, models, strict=True)),
        row=dialogue.optional_text(fields, "row"),
        gold_places=_parse_gold(fields, len(texts)),
    )


def _parse_prompt(fields: Fields) -> tuple[Message, ...]:
    name = "messages" if "messages" in fields and "prompt" not in fields else "prompt"
    value = fields.get(name)
    if isinstance(value, list):
        return dialogue.check_turn_order(dialogue.parse_messages(value, name), name)
    return (Message("user", dialogue.require_text(value, name)),)


def _parse_gold(fields: Fields, count: int) -> tuple[int, ...] | None:
    if fields.get("gold") is None:
        return None
    places = dialogue.require_list(fields["gold"], "gold")
    found = [place for place in places if isinstance(place, int) and 1 <= place <= count]
    if len(found) != count or len(places) != count:
        raise RowError("gold", f"is {places}", f"give each a place from 1 to {count}")
    return tuple(found)
