"""Parse the fields of a row into examples: a prompt, its responses, and their ranks or label.

There is one function per format of `format_table`, named after the format. `formats` turns the
examples into records, such as demonstrations or comparisons.
"""

import math
from collections import ChainMap
from dataclasses import dataclass

from upbring.data.read import dialogue as d
from upbring.data.read.records import Message
from upbring.data.read.row_errors import RowError, UnusedError
from upbring.data.read.rows import Fields
from upbring.errors import format_value
from upbring.plurals import format_count

PROMPT_FIELDS = ("prompt", "question", "query")
RESPONSE_FIELDS = ("response", "completion", "answer", "output", "answer1")
LABEL_FIELDS = ("label", "kto_tag")
_SCORE_FIELDS = (("score_chosen", "score_rejected"), ("chosen_score", "rejected_score"))
_LABEL_VALUES = {"true": True, "1": True, "good": True, "false": False, "0": False, "bad": False}
MAX_RANKED = 9


@dataclass(frozen=True, slots=True)
class ParsedExample:
    """A prompt with 0 to K responses, and their ranks (1 is best) or a label if given."""

    prompt: tuple[Message, ...]
    responses: tuple[str, ...] = ()
    ranks: tuple[float, ...] = ()
    is_good: bool | None = None
    margin: float | None = None
    annotator: str | None = None
    probability: float | None = None  # of a pair: that its better response is better, at least ½
    weight: float | None = None


def first_present(fields: Fields, names: tuple[str, ...]) -> str | None:
    """Return the first name that the row has a non-null value for, else the first that it has."""
    present_names = [name for name in names if name in fields]
    return next(
        (name for name in present_names if fields[name] is not None),
        present_names[0] if present_names else None,
    )


def read_alpaca(fields: Fields) -> list[ParsedExample]:
    """Read instruction, input, output, system, history; input goes on a new line of the prompt."""
    name = first_present(fields, RESPONSE_FIELDS) or "output"
    return [ParsedExample(_parse_instruction(fields), (d.require_text(fields.get(name), name),))]


def read_instances(fields: Fields) -> list[ParsedExample]:
    """Read instances [{input, output}] of Self-Instruct, one example for each."""
    items = d.require_list(fields.get("instances"), "instances")
    examples = []
    for k, instance in enumerate(items):
        if not isinstance(instance, dict):
            todo = 'write it as {"input": "…", "output": "…"}'
            raise RowError(f"instances[{k}]", f"is {format_value(instance)}", todo)
        prompt = _parse_instruction(ChainMap({"input": instance.get("input")}, fields))  # type: ignore[arg-type]  # it is only read
        response = d.require_text(instance.get("output"), f"instances[{k}].output")
        examples.append(ParsedExample(prompt, (response,)))
    return examples


def read_messages(fields: Fields) -> list[ParsedExample]:
    """Read messages [{role, content}] or conversations [{from, value}], with an optional system."""
    return [_split_response(*_parse_dialogue(fields))]


def read_prompt_response(fields: Fields) -> list[ParsedExample]:
    """Read a prompt and a response; each is text or messages."""
    prompt, name = _parse_prompt(fields), first_present(fields, RESPONSE_FIELDS) or "response"
    all_messages = prompt + _parse_response(fields.get(name), name)
    return [_split_response(d.check_turn_order(all_messages, name), name)]


def read_turns(fields: Fields) -> list[ParsedExample]:
    """Read turns [user text] of MT-bench; only the first becomes the prompt."""
    turn_texts = d.require_list(fields.get("turns"), "turns")
    return [ParsedExample((Message("user", d.require_text(turn_texts[0], "turns[0]")),))]


def read_prompts(fields: Fields) -> list[ParsedExample]:
    """Read only the prompt: a prompt field, or a dialogue up to its last response."""
    if first_present(fields, ("messages", "conversations")):
        return [_prompt_from_dialogue(*_parse_dialogue(fields))]
    if "instruction" in fields:
        return [ParsedExample(_parse_instruction(fields))]
    return [ParsedExample(_parse_prompt(fields))]


def read_preference(fields: Fields) -> list[ParsedExample]:
    """Read chosen and rejected: responses to a prompt, or whole dialogues that contain it."""
    shared_prompt = _parse_shared_prompt(fields)
    sides = [
        _parse_side(fields.get(name), name, shared_prompt=shared_prompt)
        for name in ("chosen", "rejected")
    ]
    (prompt, chosen), (other_prompt, rejected) = ((side[:-1], side[-1].content) for side in sides)
    if prompt != other_prompt:
        raise RowError(
            "rejected", _describe_difference(prompt, other_prompt), "give both the same prompt"
        )
    if chosen == rejected:
        raise UnusedError("chosen and rejected are the same text")
    annotator = d.optional_text(fields, "annotator") or None
    margin = _parse_margin(fields)
    return [
        ParsedExample(prompt, (chosen, rejected), (1.0, 2.0), margin=margin, annotator=annotator)
    ]


def read_ranked(fields: Fields) -> list[ParsedExample]:
    """Read a prompt, 2 to 9 responses, and ranks (low is best) or scores (high is best)."""
    name = first_present(fields, ("responses", "completions")) or "responses"
    items = d.require_list(fields.get(name), name)
    responses = [_parse_response(one, f"{name}[{k}]") for k, one in enumerate(items)]
    check_ranked_count(name, len(responses))
    if any(len(one) != 1 for one in responses):
        raise RowError(name, "contains a response of several turns", "give one turn for each")
    rank_field = first_present(fields, ("ranks", "scores"))
    if rank_field is None or fields[rank_field] is None:
        todo = f"give ranks or scores, one for each of the {name}"
        raise RowError("ranks", "is missing (labels of single steps are not supported)", todo)
    numbers = [
        parse_number(x, f"{rank_field}[{k}]")
        for k, x in enumerate(d.require_list(fields[rank_field], rank_field))
    ]
    if len(numbers) != len(responses):
        found = f"contains {format_count(len(numbers), 'number')} for {len(responses)} {name}"
        raise RowError(rank_field, found, "give one for each")
    ranks = dense_ranks([-x for x in numbers] if rank_field == "scores" else numbers)
    annotator = d.optional_text(fields, "annotator") or None
    prompt = _parse_shared_prompt(fields)
    if not prompt:
        raise RowError("prompt", "is missing", "add it to the row")
    return [
        ParsedExample(prompt, tuple(s[0].content for s in responses), ranks, annotator=annotator)
    ]


def read_labels(fields: Fields) -> list[ParsedExample]:
    """Read a prompt and one response with a label or kto_tag: true (good) or false (bad)."""
    name = first_present(fields, LABEL_FIELDS) or "label"
    value = fields.get(name)
    is_good = _LABEL_VALUES.get(str(value).casefold())
    if is_good is None:
        raise RowError(name, f"is {format_value(value)}", "write true (good) or false (bad)")
    if first_present(fields, ("messages", "conversations")):
        (example,) = read_messages(fields)
    elif "instruction" in fields:
        (example,) = read_alpaca(fields)
    else:
        (example,) = read_prompt_response(fields)
    return [ParsedExample(example.prompt, example.responses, is_good=is_good)]


def check_ranked_count(field: str, count: int) -> None:
    """Raise RowError if there are fewer than 2 or more than 9 ranked responses."""
    if not 2 <= count <= MAX_RANKED:  # noqa: PLR2004 -- one response cannot be ranked
        raise RowError(
            field, f"contains {format_count(count, 'response')}", f"give 2 to {MAX_RANKED}"
        )


def dense_ranks(numbers: list[float]) -> tuple[float, ...]:
    """Return ranks 1, 2, … from low to high; equal numbers get the same rank.

    >>> dense_ranks([0.0, 3.0, 3.0, 7.0])
    (1.0, 2.0, 2.0, 3.0)
    """
    rank_of = {x: float(k) for k, x in enumerate(sorted(set(numbers)), 1)}
    if len(rank_of) == 1:
        raise UnusedError("all its responses have the same rank")
    return tuple(rank_of[x] for x in numbers)


def _parse_instruction(fields: Fields) -> tuple[Message, ...]:
    instruction = d.require_text(fields.get("instruction"), "instruction")
    input_text = d.optional_text(fields, "input")
    user_turn = (Message("user", f"{instruction}\n{input_text}" if input_text else instruction),)
    if "system" not in fields and "history" not in fields:
        return user_turn
    return _parse_system(fields) + _parse_history(fields) + user_turn


def _parse_history(fields: Fields) -> tuple[Message, ...]:
    value = fields.get("history")
    if value is None or value in ("", []):
        return ()
    history_turns: tuple[Message, ...] = ()
    for k, pair in enumerate(d.require_list(value, "history")):
        if not isinstance(pair, list) or len(pair) != 2:  # noqa: PLR2004 -- a pair
            raise RowError(f"history[{k}]", f"is {format_value(pair)}", "write [question, answer]")
        user, assistant = (d.require_text(x, f"history[{k}][{i}]") for i, x in enumerate(pair))
        history_turns += (Message("user", user), Message("assistant", assistant))
    return history_turns


def _parse_system(fields: Fields) -> tuple[Message, ...]:
    text = d.optional_text(fields, "system")
    return (Message("system", text),) if text else ()


def _parse_dialogue(fields: Fields) -> tuple[tuple[Message, ...], str]:
    name = first_present(fields, ("messages", "conversations")) or "messages"
    if fields.get("tools"):
        todo = "describe them in the system message, and delete the field"
        raise RowError("tools", "contains tools, which are not supported", todo)
    parsed_turns = d.parse_messages(fields.get(name), name)
    return d.check_turn_order(_parse_system(fields) + parsed_turns, name), name


def _split_response(all_messages: tuple[Message, ...], field: str) -> ParsedExample:
    if all_messages[-1].role != "assistant":
        found = f"its last turn has role {all_messages[-1].role}"
        raise RowError(field, found, "end with an assistant turn, or delete the last turn")
    return ParsedExample(all_messages[:-1], (all_messages[-1].content,))


def _prompt_from_dialogue(all_messages: tuple[Message, ...], field: str) -> ParsedExample:
    prompt = all_messages[:-1] if all_messages[-1].role == "assistant" else all_messages
    if not prompt or prompt[-1].role not in {"user", "tool"}:
        raise RowError(field, "contains no user turn", "add one")
    return ParsedExample(prompt)


def _parse_prompt(fields: Fields) -> tuple[Message, ...]:
    name = first_present(fields, PROMPT_FIELDS) or "prompt"
    value = fields.get(name)
    if isinstance(value, list):
        all_messages = d.check_turn_order(
            _parse_system(fields) + d.parse_messages(value, name), name
        )
        return _require_user_end(all_messages, name)
    if d.is_hh_dialogue(value) and isinstance(value, str):
        parsed_turns = d.parse_hh_dialogue(value, name)
        if parsed_turns[-1].role == "assistant" and not parsed_turns[-1].content.strip():
            parsed_turns = parsed_turns[:-1]
        return _require_user_end(d.check_turn_order(parsed_turns, name), name)
    return (*_parse_system(fields), Message("user", d.require_text(value, name)))


def _require_user_end(prompt: tuple[Message, ...], field: str) -> tuple[Message, ...]:
    """Return the prompt if the assistant answers next."""
    if prompt[-1].role not in {"user", "tool"}:
        found = f"ends with a turn of role {prompt[-1].role}"
        raise RowError(field, found, "end it with a user turn, which the response answers")
    return prompt


def _parse_shared_prompt(fields: Fields) -> tuple[Message, ...]:
    """Return the prompt of all responses, or () if it is inside chosen and rejected."""
    if first_present(fields, ("messages", "conversations")):
        all_messages, field = _parse_dialogue(fields)
        return _prompt_from_dialogue(all_messages, field).prompt
    if fields.get("instruction") is not None:
        return _parse_instruction(fields)
    return _parse_prompt(fields) if first_present(fields, PROMPT_FIELDS) else ()


def _parse_response(value: object, field: str) -> tuple[Message, ...]:
    """Return the messages of a response; plain text becomes one assistant turn."""
    if isinstance(value, list):
        return d.parse_messages(value, field)
    if isinstance(value, dict):
        return (d.parse_message(value, field),)
    return (Message("assistant", d.require_text(value, field)),)


def _parse_side(
    value: object, field: str, *, shared_prompt: tuple[Message, ...]
) -> tuple[Message, ...]:
    """Return the whole dialogue of chosen or rejected; the response is its last message."""
    if d.is_hh_dialogue(value) and isinstance(value, str):
        all_messages = d.parse_hh_dialogue(value, field)
    elif isinstance(value, str) and not shared_prompt:
        todo = "add the field prompt, or begin both texts with \\n\\nHuman: (HH-RLHF format)"
        raise RowError(field, f"is {format_value(value, limit=30)} without a prompt", todo)
    else:
        all_messages = _parse_response(value, field)
    if all_messages[0].role == "assistant":
        all_messages = shared_prompt + all_messages
    if shared_prompt and all_messages[: len(shared_prompt)] != shared_prompt:
        raise RowError(field, "does not begin with the row's prompt", "give both the same prompt")
    example = _split_response(d.check_turn_order(all_messages, field), field)
    if not example.prompt:
        raise RowError(field, "contains no user turn", "add one")
    return all_messages


def _describe_difference(
    chosen_prompt: tuple[Message, ...], rejected_prompt: tuple[Message, ...]
) -> str:
    pairs = enumerate(zip(chosen_prompt, rejected_prompt, strict=False), 1)
    turn = next(
        (k for k, (a, b) in pairs if a != b), min(len(chosen_prompt), len(rejected_prompt)) + 1
    )
    return f"its prompt differs from the prompt of chosen at turn {turn}"


def _parse_margin(fields: Fields) -> float | None:
    if fields.get("margin") is not None:
        return parse_number(fields["margin"], "margin")
    for chosen_field, rejected_field in _SCORE_FIELDS:
        if fields.get(chosen_field) is not None and fields.get(rejected_field) is not None:
            return parse_number(fields[chosen_field], chosen_field) - parse_number(
                fields[rejected_field], rejected_field
            )
    return None


def parse_number(value: object, field: str) -> float:
    """Return a finite number; tables may store it as text."""
    try:
        parsed = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        parsed = math.nan
    if isinstance(value, bool) or not math.isfinite(parsed):
        raise RowError(field, f"is {format_value(value)}", "write a number")
    return parsed
