"""The supported row formats: their fields, their record types, and their readers.

    format                fields of a row (| means or, [] means optional)
    text                  text
    messages              messages [{role, content}] [system]
    sharegpt              conversations [{from, value}] [system]
    alpaca                instruction, output [input, system, history]
    instances             instruction, instances [{input, output}]
    prompt-response       prompt|question|query, response|completion|answer|output|answer1 [system]
    preference            prompt|question|query, chosen, rejected [margin, annotator]
    preference-implicit   chosen, rejected: dialogues with the same beginning, messages or HH-RLHF
    alpaca-preference     instruction, chosen, rejected [input, system, history]
    sharegpt-preference   conversations|messages, chosen, rejected
    winner                prompt, two responses (response_a, response_b), winner|preferred|label
    labels                messages, sharegpt, alpaca or prompt-response, with label|kto_tag
    ranked                prompt, responses|completions, ranks (low is best) | scores (high is best)
    tree                  prompt {role, text, replies [{role, text, rank, replies}]}, rank 0 is best
    turns                 turns [user text]: the first is the prompt
    prompts               prompt|question|query|instruction|messages without a response

Prompts and responses are text or messages. Comparisons may have a weight and, for two responses,
the probability (or soft_label) that the better one is better. `--format preference` reads all four
preference formats. `--format columns:prompt=QUESTION,response=ANSWER` renames these columns, drops
all others, and then detects the format.
"""

from collections.abc import Callable
from dataclasses import dataclass

from upbring.data.read import format_readers, message_trees, winner
from upbring.data.read.format_readers import (
    LABEL_FIELDS,
    PROMPT_FIELDS,
    RESPONSE_FIELDS,
    ParsedExample,
)
from upbring.data.read.records import Comparison, Demonstration, Document, Label, Prompt, Record
from upbring.data.read.rows import Fields
from upbring.data.read.soft_labels import PROBABILITY_FIELDS, WEIGHT_FIELD, with_soft_labels

RecordType = type[Record]
RowReader = Callable[[Fields], list[ParsedExample]]


@dataclass(frozen=True)
class RowFormat:
    """One row format: its fields, its reader, and the record types that it can be read as."""

    name: str
    required_fields: tuple[tuple[str, ...], ...]  # a row needs one name of each group
    read_row: RowReader
    record_types: tuple[RecordType, ...]
    forced_types: tuple[RecordType, ...] = ()  # only with --format NAME
    condition: Callable[[Fields], bool] = bool  # checked in addition to the fields

    def matches(self, fields: Fields) -> bool:
        """Return whether a row has the fields of this format."""
        has_required = all(any(name in fields for name in names) for names in self.required_fields)
        return has_required and self.condition(fields)

    def reader_for(self, want: RecordType) -> RowReader:
        """Return the row reader for the record type; prompts are read without their responses."""
        if self.name == "tree" and want is Demonstration:
            return message_trees.read_demonstrations
        if self.name == "winner" and want is Prompt:
            return winner.read_winner_prompt
        if want is Prompt and self.name not in {"instances", "preference-implicit", "turns"}:
            return (
                message_trees.read_prompts if self.name == "tree" else format_readers.read_prompts
            )
        return self.read_row

    @property
    def fields_text(self) -> str:
        """The required fields, for a message."""
        return _FIELDS_TEXTS.get(self.name) or ", ".join(names[0] for names in self.required_fields)


def _is_tree(fields: Fields) -> bool:
    prompt = fields.get("prompt")
    return isinstance(prompt, dict) and ("replies" in prompt or "text" in prompt)


def _is_labeled(fields: Fields) -> bool:
    value = str(fields.get("label")).casefold()
    has_truth_value = "kto_tag" in fields or value in {"true", "false", "0", "1"}
    return has_truth_value and any(
        one.matches(fields) for one in FORMATS if one.name in _RESPONSE_FORMATS
    )


_FIELDS_TEXTS = {
    "tree": "prompt {text, replies}",
    "labels": "prompt, response, label",
    "winner": "prompt, response_a, response_b, winner",
}
_DIALOGUE_FIELDS = ("messages", "conversations")
_RANKING_FIELDS = ("ranks", "scores", "labels")
_PAIR_FIELDS = (("chosen",), ("rejected",))
_INSTRUCTION_FIELDS = ("instruction",)
_RESPONSE_FORMATS = {"messages", "sharegpt", "alpaca", "prompt-response"}
_OPTIONAL_FIELDS = frozenset(
    {"input", "system", "history", "margin", "annotator", *PROBABILITY_FIELDS, WEIGHT_FIELD}
)
_PREFERENCE_TYPES: tuple[RecordType, ...] = (Comparison, Label, Prompt)
_DEMONSTRATION_TYPES: tuple[RecordType, ...] = (Demonstration, Prompt)
_FORCED_TYPES: tuple[RecordType, ...] = (Demonstration,)


def _preference_format(name: str, *prompt_fields: tuple[str, ...]) -> RowFormat:
    return RowFormat(
        name,
        (*prompt_fields, *_PAIR_FIELDS),
        with_soft_labels(format_readers.read_preference),
        _PREFERENCE_TYPES,
        _FORCED_TYPES,
    )


FORMATS: tuple[RowFormat, ...] = (
    RowFormat(
        "tree",
        (("prompt",),),
        message_trees.read_comparisons,
        (Comparison, *_DEMONSTRATION_TYPES),
        condition=_is_tree,
    ),
    RowFormat(
        "ranked",
        (PROMPT_FIELDS, ("responses", "completions"), _RANKING_FIELDS),
        with_soft_labels(format_readers.read_ranked),
        (Comparison, Prompt),
        _FORCED_TYPES,
    ),
    RowFormat(
        "labels",
        (LABEL_FIELDS,),
        format_readers.read_labels,
        (Label, Prompt),
        _FORCED_TYPES,
        condition=_is_labeled,
    ),
    _preference_format("sharegpt-preference", _DIALOGUE_FIELDS),
    _preference_format("alpaca-preference", _INSTRUCTION_FIELDS),
    _preference_format("preference", PROMPT_FIELDS),
    RowFormat(
        "winner",
        (winner.WINNER_FIELDS,),
        with_soft_labels(winner.read_winner),
        _PREFERENCE_TYPES,
        condition=winner.is_winner_row,
    ),
    RowFormat("messages", (("messages",),), format_readers.read_messages, _DEMONSTRATION_TYPES),
    RowFormat(
        "sharegpt", (("conversations",),), format_readers.read_messages, _DEMONSTRATION_TYPES
    ),
    RowFormat(
        "instances",
        (_INSTRUCTION_FIELDS, ("instances",)),
        format_readers.read_instances,
        _DEMONSTRATION_TYPES,
    ),
    RowFormat(
        "alpaca",
        (_INSTRUCTION_FIELDS, RESPONSE_FIELDS),
        format_readers.read_alpaca,
        _DEMONSTRATION_TYPES,
    ),
    RowFormat(
        "prompt-response",
        (PROMPT_FIELDS, RESPONSE_FIELDS),
        format_readers.read_prompt_response,
        _DEMONSTRATION_TYPES,
    ),
    _preference_format("preference-implicit"),
    RowFormat("turns", (("turns",),), format_readers.read_turns, (Prompt,)),
    RowFormat(
        "prompts", ((*PROMPT_FIELDS, "instruction"),), format_readers.read_prompts, (Prompt,)
    ),
    RowFormat("text", (("text",),), format_readers.read_prompts, (Document,)),
)
FORMAT_NAMES = tuple(sorted(row_format.name for row_format in FORMATS))
PREFERENCE_FORMATS = tuple(one for one in FORMATS if "preference" in one.name)
COLUMN_NAMES = tuple(
    sorted(
        _OPTIONAL_FIELDS.union(
            LABEL_FIELDS,
            ("response_a", "response_b"),
            ("response_0", "response_1", "response_2"),
            *(names for one in FORMATS for names in one.required_fields),
        )
        - {"labels"}
    )
)
