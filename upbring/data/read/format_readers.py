"""The fields of a row in a known format → its cases: a prompt, responses, and what is said of them.

One function per format of `shapes`, named as the format is. What a case becomes, a demonstration or
a comparison, `formats` decides.
"""

import math
from dataclasses import dataclass

from upbring.data.read import dialogue as d
from upbring.data.read.records import Message
from upbring.data.read.row_errors import RowError, UnusedError
from upbring.data.read.rows import Fields
from upbring.errors import shown

PROMPTS = ("prompt", "question", "query")
RESPONSES = ("response", "completion", "answer", "output", "answer1")
LABELS = ("label", "kto_tag")
_SCORES = (("score_chosen", "score_rejected"), ("chosen_score", "rejected_score"))
_TRUTHS = {"true": True, "1": True, "good": True, "false": False, "0": False, "bad": False}
MOST_RANKED = 9


@dataclass(frozen=True, slots=True)
class Case:
    """A prompt with 0 … K responses; ranks (1 is best) or a label where the row gives them."""

    prompt: tuple[Message, ...]
    responses: tuple[str, ...] = ()
    ranks: tuple[float, ...] = ()
    is_good: bool | None = None
    margin: float | None = None
    annotator: str | None = None


def present(fields: Fields, names: tuple[str, ...]) -> str | None:
    """Return the first of the names that the row has, preferably one that is not null."""
    known = [name for name in names if name in fields]
    return next((name for name in known if fields[name] is not None), known[0] if known else None)


def alpaca(fields: Fields) -> list[Case]:
    """Read instruction, input, output, system, history; input follows instruction on a new line."""
    name = present(fields, RESPONSES) or "output"
    return [Case(_instructed(fields), (d.text_of(fields.get(name), name),))]


def instances(fields: Fields) -> list[Case]:
    """Return a case for each of instances [{input, output}], as Self-Instruct has it."""
    found = d.list_of(fields.get("instances"), "instances")
    cases = []
    for k, one in enumerate(found):
        if not isinstance(one, dict):
            todo = 'write it as {"input": "…", "output": "…"}'
            raise RowError(f"instances[{k}]", f"is {shown(one)}", todo)
        prompt = _instructed({**fields, "input": one.get("input")})
        response = d.text_of(one.get("output"), f"instances[{k}].output")
        cases.append(Case(prompt, (response,)))
    return cases


def messages(fields: Fields) -> list[Case]:
    """Read messages [{role, content}] or conversations [{from, value}], with system beside them."""
    return [_answered(*_dialogue(fields))]


def prompt_response(fields: Fields) -> list[Case]:
    """Read a prompt and a response, each text or messages."""
    prompt, name = _prompt(fields), present(fields, RESPONSES) or "response"
    whole = prompt + _said(fields.get(name), name)
    return [_answered(d.check_order(whole, name) if len(whole) > 2 else whole, name)]  # noqa: PLR2004 -- a question and its answer are in order


def turns(fields: Fields) -> list[Case]:
    """Return the first of turns [text], which are the user's alone, as MT-bench has it."""
    found = d.list_of(fields.get("turns"), "turns")
    return [Case((Message("user", d.text_of(found[0], "turns[0]")),))]


def prompts(fields: Fields) -> list[Case]:
    """Return the prompt alone, whatever it is called, or a dialogue up to its last answer."""
    if present(fields, ("messages", "conversations")):
        return [_prompt_of_dialogue(*_dialogue(fields))]
    if "instruction" in fields:
        return [Case(_instructed(fields))]
    return [Case(_prompt(fields))]


def preference(fields: Fields) -> list[Case]:
    """Read chosen and rejected: what follows a prompt, or whole dialogues that begin alike."""
    before = _shared_prompt(fields)
    sides = [_side(fields.get(name), name, before=before) for name in ("chosen", "rejected")]
    (prompt, good), (other, bad) = ((side[:-1], side[-1].content) for side in sides)
    if prompt != other:
        raise RowError("rejected", _difference(prompt, other), "give both the same prompt")
    if good == bad:
        raise UnusedError("chosen and rejected are the same text")
    annotator = d.optional_text(fields, "annotator") or None
    margin = _margin(fields)
    return [Case(prompt, (good, bad), (1.0, 2.0), margin=margin, annotator=annotator)]


def ranked(fields: Fields) -> list[Case]:
    """Read a prompt, 2 … 9 responses and ranks (low is best) or scores (high is best)."""
    name = present(fields, ("responses", "completions")) or "responses"
    found = d.list_of(fields.get(name), name)
    said = [_said(one, f"{name}[{k}]") for k, one in enumerate(found)]
    check_count(name, len(said))
    if any(len(one) != 1 for one in said):
        raise RowError(name, "holds a response of several turns", "give one turn for each")
    by = present(fields, ("ranks", "scores"))
    if by is None or fields[by] is None:
        todo = f"give ranks or scores, one for each of the {name}"
        raise RowError("ranks", "is missing; labels of steps are not read", todo)
    numbers = [number(x, f"{by}[{k}]") for k, x in enumerate(d.list_of(fields[by], by))]
    if len(numbers) != len(said):
        found_text = f"holds {len(numbers)} numbers for {len(said)} {name}"
        raise RowError(by, found_text, "give one for each")
    ranks = dense_ranks([-x for x in numbers] if by == "scores" else numbers)
    annotator = d.optional_text(fields, "annotator") or None
    prompt = _shared_prompt(fields)
    if not prompt:
        raise RowError("prompt", "is missing", "add it to the row")
    return [Case(prompt, tuple(s[0].content for s in said), ranks, annotator=annotator)]


def labels(fields: Fields) -> list[Case]:
    """Return one response that was called good or bad: label or kto_tag, true or false."""
    name = present(fields, LABELS) or "label"
    value = fields.get(name)
    is_good = _TRUTHS.get(str(value).casefold())
    if is_good is None:
        raise RowError(name, f"is {shown(value)}", "write true (good) or false (bad)")
    if present(fields, ("messages", "conversations")):
        (case,) = messages(fields)
    elif "instruction" in fields:
        (case,) = alpaca(fields)
    else:
        (case,) = prompt_response(fields)
    return [Case(case.prompt, case.responses, is_good=is_good)]


def check_count(field: str, count: int) -> None:
    """Refuse fewer than 2 or more than 9 ranked responses."""
    if not 2 <= count <= MOST_RANKED:  # noqa: PLR2004 -- one response cannot be ranked
        raise RowError(field, f"holds {count} responses", f"rank 2 to {MOST_RANKED}")


def dense_ranks(numbers: list[float]) -> tuple[float, ...]:
    """Return ranks 1, 2, … from low to high, equal numbers sharing one.

    >>> dense_ranks([0.0, 3.0, 3.0, 7.0])
    (1.0, 2.0, 2.0, 3.0)
    """
    places = {x: float(k) for k, x in enumerate(sorted(set(numbers)), 1)}
    if len(places) == 1:
        raise UnusedError("all its responses share one rank")
    return tuple(places[x] for x in numbers)


def _instructed(fields: Fields) -> tuple[Message, ...]:
    said = d.text_of(fields.get("instruction"), "instruction")
    more = d.optional_text(fields, "input")
    last = (Message("user", f"{said}\n{more}" if more else said),)
    if "system" not in fields and "history" not in fields:
        return last
    return _system(fields) + _history(fields) + last


def _history(fields: Fields) -> tuple[Message, ...]:
    value = fields.get("history")
    if value is None or value in ("", []):
        return ()
    before: tuple[Message, ...] = ()
    for k, pair in enumerate(d.list_of(value, "history")):
        if not isinstance(pair, list) or len(pair) != 2:  # noqa: PLR2004 -- a pair
            raise RowError(f"history[{k}]", f"is {shown(pair)}", "write [question, answer]")
        user, assistant = (d.text_of(x, f"history[{k}][{i}]") for i, x in enumerate(pair))
        before += (Message("user", user), Message("assistant", assistant))
    return before


def _system(fields: Fields) -> tuple[Message, ...]:
    text = d.optional_text(fields, "system")
    return (Message("system", text),) if text else ()


def _dialogue(fields: Fields) -> tuple[tuple[Message, ...], str]:
    name = present(fields, ("messages", "conversations")) or "messages"
    if fields.get("tools"):
        todo = "describe them in the system message, and delete the field"
        raise RowError("tools", "holds tools, which are not read", todo)
    found = d.turns(fields.get(name), name)
    return d.check_order(_system(fields) + found, name), name


def _answered(whole: tuple[Message, ...], field: str) -> Case:
    if whole[-1].role != "assistant":
        found = f"its last turn is the {whole[-1].role}'s"
        raise RowError(field, found, "end with the assistant's, or delete that turn")
    return Case(whole[:-1], (whole[-1].content,))


def _prompt_of_dialogue(whole: tuple[Message, ...], field: str) -> Case:
    prompt = whole[:-1] if whole[-1].role == "assistant" else whole
    if not prompt or prompt[-1].role not in {"user", "tool"}:
        raise RowError(field, "holds no turn of the user's", "add one")
    return Case(prompt)


def _prompt(fields: Fields) -> tuple[Message, ...]:
    name = present(fields, PROMPTS) or "prompt"
    value = fields.get(name)
    if isinstance(value, list):
        return _system(fields) + d.turns(value, name)
    if d.is_hh(value) and isinstance(value, str):
        found = d.hh_dialogue(value, name)
        if found[-1].role == "assistant" and not found[-1].content.strip():
            found = found[:-1]
        return d.check_order(found, name)
    return (*_system(fields), Message("user", d.text_of(value, name)))


def _shared_prompt(fields: Fields) -> tuple[Message, ...]:
    """Return what comes before all responses, () where it is inside chosen and rejected."""
    if present(fields, ("messages", "conversations")):
        whole, field = _dialogue(fields)
        return _prompt_of_dialogue(whole, field).prompt
    if fields.get("instruction") is not None:
        return _instructed(fields)
    return _prompt(fields) if present(fields, PROMPTS) else ()


def _said(value: object, field: str) -> tuple[Message, ...]:
    """Return what is said after a prompt: a text is one turn of the assistant's."""
    if isinstance(value, list):
        return d.turns(value, field)
    if isinstance(value, dict):
        return (d.message(value, field),)
    return (Message("assistant", d.text_of(value, field)),)


def _side(value: object, field: str, *, before: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return the whole dialogue of one side of a pair, the response last."""
    if d.is_hh(value) and isinstance(value, str):
        whole = d.hh_dialogue(value, field)
    elif isinstance(value, str) and not before:
        todo = "add the field prompt, or begin both texts with \\n\\nHuman: as HH-RLHF does"
        raise RowError(field, f"is {shown(value, limit=30)} without a prompt", todo)
    else:
        whole = _said(value, field)
    if whole[0].role == "assistant":
        whole = before + whole
    if before and whole[: len(before)] != before:
        raise RowError(field, "begins with another prompt than the row's", "make the two the same")
    case = _answered(d.check_order(whole, field), field)
    if not case.prompt:
        raise RowError(field, "holds no turn of the user's", "add one")
    return whole


def _difference(mine: tuple[Message, ...], other: tuple[Message, ...]) -> str:
    pairs = enumerate(zip(mine, other, strict=False), 1)
    turn = next((k for k, (a, b) in pairs if a != b), min(len(mine), len(other)) + 1)
    return f"its prompt differs from that of chosen at turn {turn}"


def _margin(fields: Fields) -> float | None:
    if fields.get("margin") is not None:
        return number(fields["margin"], "margin")
    for good, bad in _SCORES:
        if fields.get(good) is not None and fields.get(bad) is not None:
            return number(fields[good], good) - number(fields[bad], bad)
    return None


def number(value: object, field: str) -> float:
    """Return a finite number, which a table may hold as text."""
    try:
        number = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise RowError(field, f"is {shown(value)}", "write a number")
    return number
