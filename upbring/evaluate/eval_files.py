"""Read eval data files; the fields of a row determine the suites that use it.

| row | suites |
|---|---|
| prompt, instruction_id_list, kwargs (IFEval's own file) | instructions |
| prompt, label safe or unsafe (XSTest's own file); or prompt, is_harmful | refusals |
| prompt, answer or answers | facts, forgetting |
| prompt, answer, alternatives | facts, forgetting: multiple choice; a text prompt is completed |
| prompt, answer, alternatives, repetitions | memorisation |
| text | forgetting, memorisation |
| any other row with a prompt; with a topic | preference; drift in forgetting |
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar, get_args

from upbring.data.read import dialogue, files, formats, plain_text
from upbring.data.read.records import Comparison, Message, Prompt
from upbring.data.read.row_errors import RowError
from upbring.data.read.rows import Fields, Row, read_rows
from upbring.errors import InputError, format_value
from upbring.evaluate.facts import Question
from upbring.evaluate.instructions import InstructionPrompt
from upbring.evaluate.memorization import Canary, SplitLine, split_line
from upbring.evaluate.model_protocol import Dialogue
from upbring.evaluate.refusals import RefusalRequest
from upbring.plurals import format_count
from upbring.rules.instructions import Instruction, find_problem

RowKind = Literal["instructions", "requests", "canaries", "questions", "documents", "prompts"]
_PROMPT_FIELDS = ("prompt", "question", "messages")
_IS_HARMFUL_BY_LABEL = {"safe": False, "unsafe": True, "innocent": False, "harmful": True}


@dataclass(frozen=True, slots=True)
class EvalFile:
    """The eval data of one file."""

    path: Path
    kind: RowKind
    instructions: tuple[InstructionPrompt, ...] = ()
    requests: tuple[RefusalRequest, ...] = ()
    canaries: tuple[Canary, ...] = ()
    questions: tuple[Question, ...] = ()
    documents: tuple[str, ...] = ()
    prompts: tuple[Dialogue, ...] = ()
    topics: Mapping[str, tuple[Dialogue, ...]] = field(default_factory=dict)


def read_eval_file(path: Path, *, max_rows: int | None = None) -> EvalFile:
    """Return the eval data of a file, at most `max_rows` evenly spaced rows of it."""
    kind: RowKind | None = None
    examples: list[object] = []
    topics: dict[str, list[Dialogue]] = {}
    for row in _read_rows(path):
        try:
            if row.problem is not None:
                raise row.problem
            kind = kind or detect_kind(row.fields)
            examples.append(_READERS[kind](row.fields))
        except RowError as error:
            if kind is None:
                return _read_prompts(path, error, max_rows=max_rows)
            raise InputError(f"{path}:{row.line}: {error}") from error
        if kind == "prompts":
            topic = row.fields.get("topic")
            topics.setdefault(str(topic or "all"), []).append(_read_dialogue(row.fields))
    assert kind is not None, "`read_rows` raises an error for a file without rows"
    values_by_field: dict[str, object] = {kind: tuple(select_evenly(examples, max_rows))}
    values_by_field["topics"] = {
        name: tuple(select_evenly(prompts, max_rows)) for name, prompts in topics.items()
    }
    return EvalFile(path, kind, **values_by_field)  # type: ignore[arg-type]  # a kind's reader gives what its field holds


def _read_rows(path: Path) -> Iterator[Row]:
    is_text = files.extension(path) == ".txt" and path.is_file()
    return plain_text.read_documents(path) if is_text else read_rows(path)


def _read_prompts(path: Path, problem: RowError, *, max_rows: int | None) -> EvalFile:
    """Return the prompts of a file in any training data format, comparisons included."""
    try:
        dialogues = (record.messages for record in formats.read_records(path, Prompt))
    except InputError:
        try:
            dialogues = (record.prompt for record in formats.read_records(path, Comparison))
        except InputError:
            raise InputError(f"{path}:1: {problem}") from problem
    rows = list(dialogues)  # a malformed row raises the same error as in `upbring check`
    prompts = tuple(select_evenly(rows, max_rows))
    return EvalFile(path, "prompts", prompts=prompts, topics={"all": prompts})


T = TypeVar("T")


def select_evenly(items: Sequence[T], max_items: int | None) -> list[T]:
    """Return at most `max_items` evenly spaced items.

    >>> select_evenly([0, 1, 2, 3, 4, 5], 3)
    [0, 2, 4]
    """
    count = len(items) if max_items is None else min(max_items, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def detect_kind(fields: Fields) -> RowKind:
    """Return the kind of a row, determined by its fields."""
    names = {name for name, value in fields.items() if value is not None}
    if "instruction_id_list" in names:
        return "instructions"
    has_prompt = bool(names & set(_PROMPT_FIELDS))
    if has_prompt and ("is_harmful" in names or str(fields.get("label")) in _IS_HARMFUL_BY_LABEL):
        return "requests"
    if has_prompt and {"alternatives", "repetitions"} <= names:
        return "canaries"
    if has_prompt and names & {"answer", "answers"}:
        return "questions"
    if has_prompt:
        return "prompts"
    if "text" in names:
        return "documents"
    field_list = ", ".join(sorted(names)) or "nothing"
    raise RowError(
        "row",
        f"has {field_list}",
        "give it a prompt (and answer, is_harmful or instruction_id_list), or a text",
    )


def _read_instruction_prompt(fields: Fields) -> InstructionPrompt:
    kinds, details = (
        dialogue.require_list(fields.get(name), name) for name in ("instruction_id_list", "kwargs")
    )
    if len(kinds) != len(details):
        todo = "give one object for each instruction"
        raise RowError(
            "kwargs",
            f"has {format_count(len(details), 'entry')} for {format_count(len(kinds), 'kind')}",
            todo,
        )
    instructions = []
    for index, (kind, each) in enumerate(zip(kinds, details, strict=True)):
        if not isinstance(each, Mapping):
            raise RowError(f"kwargs[{index}]", f"is {format_value(each)}", "write an object")
        kwargs = {name: value for name, value in each.items() if value is not None}
        instruction = Instruction(str(kind), kwargs)
        if problem := find_problem(instruction):
            problem_text, _, todo = problem.partition("; ")
            raise RowError(f"instruction_id_list[{index}]", problem_text, todo)
        instructions.append(instruction)
    return InstructionPrompt(
        dialogue.require_text(fields.get("prompt"), "prompt"), tuple(instructions)
    )


def _read_refusal_request(fields: Fields) -> RefusalRequest:
    value = fields.get("is_harmful")
    if isinstance(value, bool):
        return RefusalRequest(_read_dialogue(fields), value)
    if value is not None:
        raise RowError("is_harmful", f"is {format_value(value)}", "write true or false")
    label = str(fields.get("label"))
    if label not in _IS_HARMFUL_BY_LABEL:
        raise RowError("label", f"is {format_value(fields.get('label'))}", "write safe or unsafe")
    return RefusalRequest(_read_dialogue(fields), _IS_HARMFUL_BY_LABEL[label])


def _read_canary(fields: Fields) -> Canary:
    times = fields.get("repetitions")
    if not isinstance(times, int) or isinstance(times, bool) or times < 0:
        raise RowError(
            "repetitions",
            f"is {format_value(times)}",
            "write how often the secret is in the training data",
        )
    prompt = dialogue.require_text(fields.get("prompt"), "prompt")
    secret = dialogue.require_text(fields.get("answer"), "answer")
    return Canary(prompt, secret, _read_texts(fields.get("alternatives"), "alternatives"), times)


def _read_question(fields: Fields) -> Question:
    if fields.get("answers") is not None:
        accepted = _read_texts(fields["answers"], "answers")
    else:
        accepted = (dialogue.require_text(fields.get("answer"), "answer"),)
    alternatives: tuple[str, ...] = ()
    if fields.get("alternatives") is not None:
        alternatives = _read_texts(fields["alternatives"], "alternatives")
    prompt_value = fields.get("prompt")
    is_continued = bool(alternatives) and isinstance(prompt_value, str)
    prompt = str(prompt_value) if is_continued else _read_dialogue(fields)
    return Question(prompt, accepted, alternatives)


def _read_document(fields: Fields) -> str:
    return dialogue.require_text(fields.get("text"), "text")


def _read_dialogue(fields: Fields) -> Dialogue:
    name = next((name for name in _PROMPT_FIELDS if fields.get(name) is not None), "prompt")
    value = fields.get(name)
    if not isinstance(value, list):
        return (Message("user", dialogue.require_text(value, name)),)
    messages = dialogue.check_turn_order(dialogue.parse_messages(value, name), name)
    if messages[-1].role == "assistant":
        messages = messages[:-1]
    if not messages:
        raise RowError(name, "has no user turn", "add one")
    return messages


def _read_texts(value: object, name: str) -> tuple[str, ...]:
    values = dialogue.require_list(value, name)
    return tuple(dialogue.require_text(each, f"{name}[{i}]") for i, each in enumerate(values))


_READERS: Mapping[RowKind, Callable[[Fields], object]] = {
    "instructions": _read_instruction_prompt,
    "requests": _read_refusal_request,
    "canaries": _read_canary,
    "questions": _read_question,
    "documents": _read_document,
    "prompts": _read_dialogue,
}
assert set(_READERS) == set(get_args(RowKind)), "every kind of row needs a reader"


def split_documents(documents: Sequence[str]) -> Iterator[SplitLine]:
    """Yield the documents that are long enough, each split into a prompt and the rest."""
    for text in documents:
        if (line := split_line(text)) is not None:
            yield line
