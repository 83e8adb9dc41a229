"""Files to what the suites ask: which suite a row is for is told from its fields.

| row | for |
|---|---|
| prompt, instruction_id_list, kwargs (IFEval's own file) | instructions |
| prompt, label safe or unsafe (XSTest's own file); or prompt, is_harmful | refusals |
| prompt, answer or answers | facts, forgetting |
| prompt, answer, alternatives | facts, forgetting: a choice; plain-text prompts are continued |
| prompt, answer, alternatives, times_told | memorisation |
| text | forgetting, memorisation |
| anything with a prompt; with a topic | preference; drift of forgetting |
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar, get_args

from upbring.data.read import dialogue, files, formats, plain_text
from upbring.data.read.records import Comparison, Message, Prompt
from upbring.data.read.row_errors import RowError
from upbring.data.read.rows import Fields, Row, rows
from upbring.errors import InputError, shown
from upbring.evaluate.facts import Question
from upbring.evaluate.instructions import Instructed
from upbring.evaluate.memorization import Canary, Line, line_of
from upbring.evaluate.model_protocol import Dialogue
from upbring.evaluate.refusals import Requested
from upbring.rules.instructions import Instruction, flaw

Kind = Literal["instructions", "requests", "canaries", "questions", "documents", "prompts"]
_PROMPTS = ("prompt", "question", "messages")
_LABELS = {"safe": False, "unsafe": True, "innocent": False, "harmful": True}


@dataclass(frozen=True, slots=True)
class Asked:
    """What one file asks."""

    path: Path
    kind: Kind
    instructions: tuple[Instructed, ...] = ()
    requests: tuple[Requested, ...] = ()
    canaries: tuple[Canary, ...] = ()
    questions: tuple[Question, ...] = ()
    documents: tuple[str, ...] = ()
    prompts: tuple[Dialogue, ...] = ()
    topics: Mapping[str, tuple[Dialogue, ...]] = field(default_factory=dict)


def read(path: Path, *, most: int | None = None) -> Asked:
    """Return what a file asks, at most so many rows of it, evenly spread."""
    kind: Kind | None = None
    found: list[object] = []
    topics: dict[str, list[Dialogue]] = {}
    for row in _rows(path):
        try:
            if row.problem is not None:
                raise row.problem
            kind = kind or kind_of(row.fields)
            found.append(_READERS[kind](row.fields))
        except RowError as error:
            if kind is None:
                return _of_other_format(path, error, most=most)
            raise InputError(f"{path}:{row.line}: {error}") from error
        if kind == "prompts":
            topic = row.fields.get("topic")
            topics.setdefault(str(topic or "all"), []).append(_dialogue(row.fields))
    assert kind is not None, "`rows` refuses a file without rows"
    chosen: dict[str, object] = {kind: tuple(spread(found, most))}
    chosen["topics"] = {name: tuple(spread(own, most)) for name, own in topics.items()}
    return Asked(path, kind, **chosen)  # type: ignore[arg-type]  # a kind's reader gives what its field holds


def _rows(path: Path) -> Iterator[Row]:
    is_text = files.extension(path) == ".txt" and path.is_file()
    return plain_text.documents(path) if is_text else rows(path)


def _of_other_format(path: Path, problem: RowError, *, most: int | None) -> Asked:
    """Return the prompts of a file in any format that training reads, held-out pairs too."""
    try:
        talks = (record.messages for record in formats.read(path, Prompt))
    except InputError:
        try:
            talks = (record.prompt for record in formats.read(path, Comparison))
        except InputError:
            raise InputError(f"{path}:1: {problem}") from problem
    found = list(talks)  # whose malformed rows are told of as `upbring check` does
    prompts = tuple(spread(found, most))
    return Asked(path, "prompts", prompts=prompts, topics={"all": prompts})


T = TypeVar("T")


def spread(items: Sequence[T], most: int | None) -> list[T]:
    """Return at most so many of the items, evenly spread over them.

    >>> spread([0, 1, 2, 3, 4, 5], 3)
    [0, 2, 4]
    """
    count = len(items) if most is None else min(most, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def kind_of(fields: Fields) -> Kind:
    """Return what a row is for, told from its fields."""
    names = {name for name, value in fields.items() if value is not None}
    if "instruction_id_list" in names:
        return "instructions"
    has_prompt = bool(names & set(_PROMPTS))
    if has_prompt and ("is_harmful" in names or str(fields.get("label")) in _LABELS):
        return "requests"
    if has_prompt and {"alternatives", "times_told"} <= names:
        return "canaries"
    if has_prompt and names & {"answer", "answers"}:
        return "questions"
    if has_prompt:
        return "prompts"
    if "text" in names:
        return "documents"
    told = ", ".join(sorted(names)) or "nothing"
    raise RowError(
        "row",
        f"has {told}",
        "give it a prompt (and answer, is_harmful or instruction_id_list), or a text",
    )


def _instructed(fields: Fields) -> Instructed:
    kinds, details = (
        dialogue.list_of(fields.get(name), name) for name in ("instruction_id_list", "kwargs")
    )
    if len(kinds) != len(details):
        todo = "give one object for each instruction"
        raise RowError("kwargs", f"has {len(details)} entries for {len(kinds)} kinds", todo)
    found = []
    for place, (kind, each) in enumerate(zip(kinds, details, strict=True)):
        if not isinstance(each, Mapping):
            raise RowError(f"kwargs[{place}]", f"is {shown(each)}", "write an object")
        given = {name: value for name, value in each.items() if value is not None}
        instruction = Instruction(str(kind), given)
        if problem := flaw(instruction):
            what, _, todo = problem.partition("; ")
            raise RowError(f"instruction_id_list[{place}]", what, todo)
        found.append(instruction)
    return Instructed(dialogue.text_of(fields.get("prompt"), "prompt"), tuple(found))


def _request(fields: Fields) -> Requested:
    told = fields.get("is_harmful")
    if isinstance(told, bool):
        return Requested(_dialogue(fields), told)
    if told is not None:
        raise RowError("is_harmful", f"is {shown(told)}", "write true or false")
    label = str(fields.get("label"))
    if label not in _LABELS:
        raise RowError("label", f"is {shown(fields.get('label'))}", "write safe or unsafe")
    return Requested(_dialogue(fields), _LABELS[label])


def _canary(fields: Fields) -> Canary:
    times = fields.get("times_told")
    if not isinstance(times, int) or isinstance(times, bool) or times < 0:
        raise RowError("times_told", f"is {shown(times)}", "write how often it was told")
    prompt = dialogue.text_of(fields.get("prompt"), "prompt")
    secret = dialogue.text_of(fields.get("answer"), "answer")
    return Canary(prompt, secret, _texts(fields.get("alternatives"), "alternatives"), times)


def _question(fields: Fields) -> Question:
    if fields.get("answers") is not None:
        accepted = _texts(fields["answers"], "answers")
    else:
        accepted = (dialogue.text_of(fields.get("answer"), "answer"),)
    others: tuple[str, ...] = ()
    if fields.get("alternatives") is not None:
        others = _texts(fields["alternatives"], "alternatives")
    given = fields.get("prompt")
    is_continued = bool(others) and isinstance(given, str)
    prompt = str(given) if is_continued else _dialogue(fields)
    return Question(prompt, accepted, others)


def _document(fields: Fields) -> str:
    return dialogue.text_of(fields.get("text"), "text")


def _dialogue(fields: Fields) -> Dialogue:
    name = next((name for name in _PROMPTS if fields.get(name) is not None), "prompt")
    value = fields.get(name)
    if not isinstance(value, list):
        return (Message("user", dialogue.text_of(value, name)),)
    found = dialogue.check_order(dialogue.turns(value, name), name)
    if found[-1].role == "assistant":
        found = found[:-1]
    if not found:
        raise RowError(name, "holds no turn of the user's", "add one")
    return found


def _texts(value: object, name: str) -> tuple[str, ...]:
    found = dialogue.list_of(value, name)
    return tuple(dialogue.text_of(each, f"{name}[{i}]") for i, each in enumerate(found))


_READERS: Mapping[Kind, Callable[[Fields], object]] = {
    "instructions": _instructed,
    "requests": _request,
    "canaries": _canary,
    "questions": _question,
    "documents": _document,
    "prompts": _dialogue,
}
assert set(_READERS) == set(get_args(Kind)), "every kind of row has a reader"


def lines_of(documents: Sequence[str]) -> Iterator[Line]:
    """Yield the documents that are long enough, cut to what is given and what must come."""
    for text in documents:
        if (line := line_of(text)) is not None:
            yield line
