"""Write which rows a stage was trained on, and recognize them later."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from upbring.data.read import formats
from upbring.data.read.detect_format import detect_format
from upbring.data.read.format_table import RecordType
from upbring.data.read.record_text import prompt_text_of
from upbring.data.read.records import Comparison, Demonstration, Document, Label, Prompt, Record
from upbring.data.trees.merge_rankings import row_keys
from upbring.errors import InputError
from upbring.evaluate.model_protocol import Dialogue
from upbring.model.gguf.locate_model import locate_model
from upbring.runs.trained_rows import read_trained_rows, row_hash, write_trained_rows
from upbring.stages.context import StageContext

KINDS: dict[str, RecordType] = {
    "demonstrations": Demonstration,
    "comparisons": Comparison,
    "labels": Label,
    "prompts": Prompt,
    "documents": Document,
}


def remember_rows(context: StageContext, folder: Path) -> None:
    """Write the hashes of the training rows, and of those of the model that was trained."""
    earlier = read_trained_rows(context.loaded.folder) or frozenset()
    held_out = row_keys(context.dataset.held_out)
    own = {
        hash_of(record)
        for file in context.dataset.files
        if file.purpose == "train"
        for record in _read_records(Path(file.file), context)
        if str(record.origin) not in held_out
    }
    write_trained_rows(folder, earlier | own)


def hash_of(record: Record) -> str:
    """Return the hash of a record's prompt; of a document, that of its text."""
    return row_hash(prompt_text_of(record))


def hash_of_prompt(prompt: Dialogue | str) -> str:
    """Return the hash of an evaluated prompt."""
    if isinstance(prompt, str):
        return row_hash(prompt)
    return row_hash("\n".join(m.content for m in prompt if m.role != "system"))


def find_trained_rows(model: str) -> frozenset[str] | None:
    """Return the hashes of the rows that a model was trained on; None if they are not known."""
    return read_trained_rows(locate_model(model))


def _read_records(path: Path, context: StageContext) -> Iterator[Record]:
    """Yield the records of a training file; a file of `mix` may be of another kind."""
    first = KINDS[context.method.learns_from]
    kinds: Iterable[RecordType] = (first, *(kind for kind in KINDS.values() if kind != first))
    for kind in kinds:
        try:
            detect_format(path, kind, format=context.settings.format)
        except InputError:
            continue
        reading = formats.read_records(
            path, kind, format=context.settings.format, skip_bad=context.settings.skip_bad
        )
        try:
            yield from reading
        except InputError as error:
            context.log(f"{path}: its rows are not all recognized later ({error})")
        return
