"""The files of a case with real data, made from the user's own copies of public data sets.

Each data set is found in a folder by its name. Rows are written to the recipe's folder in the form
that the stages and suites read; the copies stay as they are. Nothing is downloaded.
"""

import json
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from upbring.data.read.formats import read_records
from upbring.data.read.plain_text import read_documents
from upbring.data.read.records import Comparison, Demonstration
from upbring.data.read.row_errors import RowError, UnusedError
from upbring.data.read.rows import Fields, Row, read_rows
from upbring.errors import InputError
from upbring.evaluate.eval_files import select_evenly
from upbring.plurals import format_count

NUM_PYTHON_FILES = 40  # of the standard library of the running Python
MAX_DOCUMENT_CHARACTERS = 2_000
NUM_PROMPTS = 60
JUDGE_SHARE, HELD_OUT_SHARE = 0.3, 0.15  # of the preferences

Rows = Sequence[Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class DataSet:
    """A public data set: how its file is found, and where it is described."""

    name: str
    patterns: tuple[str, ...]  # of the path within the folder, in lower case
    source: str


DATA_SETS = {
    "demonstrations": DataSet(
        "databricks-dolly", ("*dolly*.json*",), "databricks/databricks-dolly-15k"
    ),
    "preferences": DataSet(
        "hh-rlhf", ("*hh*rlhf*.jsonl*", "*harmless*.jsonl*"), "Anthropic/hh-rlhf"
    ),
    "instructions": DataSet("IFEval", ("*ifeval*.jsonl*",), "google/IFEval"),
    "requests": DataSet("XSTest", ("*xstest*.csv*", "*xstest*.jsonl*"), "Paul/XSTest"),
    "problems": DataSet("GSM8K", ("*gsm8k*test*.jsonl*", "*gsm8k*.jsonl*"), "openai/gsm8k"),
    "prose": DataSet("prose", ("*prose*.txt", "*stories*.txt", "*.txt"), "any plain text"),
}
CASES: Mapping[str, tuple[str, ...]] = {
    "assistant": tuple(DATA_SETS),
    "safer": ("preferences", "instructions", "requests", "problems", "prose"),
}


def make_case_files(
    case: str, folder: Path, *, log: Callable[[str], None] = print
) -> dict[str, str]:
    """Return the texts of the files of a case, by name, from the data sets in `folder`.

    Rows that cannot be trained on are left out; `log` tells how many.
    """
    found = _find_all(CASES[case], folder)
    rows: dict[str, Rows] = {}
    if "demonstrations" in found:
        demonstrations = _usable_rows(found["demonstrations"], Demonstration, log)
        rows["demonstrations"], rows["prompts"] = (
            demonstrations[NUM_PROMPTS:],
            demonstrations[:NUM_PROMPTS],
        )
    preferences = _usable_rows(found["preferences"], Comparison, log)
    num_judge = round(JUDGE_SHARE * len(preferences))
    num_held_out = round(HELD_OUT_SHARE * len(preferences))
    rows["judge_preferences"] = preferences[:num_judge]
    rows["held_out_preferences"] = preferences[num_judge : num_judge + num_held_out]
    rows["preferences"] = preferences[num_judge + num_held_out :]
    rows["held_out_prompts"] = select_evenly(rows["held_out_preferences"], NUM_PROMPTS)
    for name, (key, count, convert) in EVAL_FILES.items():
        fields = list(_fields(found[key]))
        rows[name] = [convert(each) for each in select_evenly(fields, count)]
    rows["python"] = [{"text": text} for text in python_sources()]
    return {f"{name}.jsonl": _to_jsonl(each) for name, each in rows.items()}


def python_sources() -> Iterator[str]:
    """Yield the beginnings of files of the running Python's standard library."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    paths = [path for path in sorted(folder.glob("*.py")) if not path.name.startswith("_")]
    for path in select_evenly(paths, NUM_PYTHON_FILES):
        yield path.read_text(encoding="utf-8")[:MAX_DOCUMENT_CHARACTERS]


def _find_all(names: Iterable[str], folder: Path) -> dict[str, Path]:
    """Return the file of each data set; raise an InputError that names all missing ones."""
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no such directory; give the folder with your copies of the data"
        )
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    found = {name: _find(DATA_SETS[name], files, folder) for name in names}
    missing = [DATA_SETS[name] for name, path in found.items() if path is None]
    if missing:
        lines = [
            f"  {each.name} ({each.source}): a file like {each.patterns[0]}" for each in missing
        ]
        raise InputError(
            f"{folder}: lacks {format_count(len(missing), 'data set')} of this case; copy them "
            "there:\n" + "\n".join(lines)
        )
    return {name: path for name, path in found.items() if path is not None}


def _find(data_set: DataSet, files: Sequence[Path], folder: Path) -> Path | None:
    for pattern in data_set.patterns:
        for path in files:
            relative = Path(path.relative_to(folder).as_posix().lower().replace("/", "-"))
            if relative.match(pattern) and "license" not in relative.name:
                return path
    return None


def _fields(path: Path) -> Iterator[Fields]:
    """Yield the rows of a file; a text is cut into passages."""
    for row in _rows(path):
        if path.suffix != ".txt":
            yield row.fields
            continue
        text = str(row.fields["text"])
        for start in range(0, len(text), MAX_DOCUMENT_CHARACTERS):
            yield {"text": text[start : start + MAX_DOCUMENT_CHARACTERS]}


def _usable_rows(
    path: Path, want: type[Demonstration] | type[Comparison], log: Callable[[str], None]
) -> list[Fields]:
    """Return the rows that can be trained on: well-formed, and not of equal responses."""
    reader, usable, num_rows = read_records(path, want), [], 0
    for row in read_rows(path):
        num_rows += 1
        try:
            if reader.parse_row(row):
                usable.append(row.fields)
        except (RowError, UnusedError):
            continue
    if left_out := num_rows - len(usable):
        count = format_count(left_out, "row", total=num_rows, verb="is")
        log(f"{path}: {count} malformed or of no use, and left out")
    return usable


def _rows(path: Path) -> Iterator[Row]:
    rows = read_documents(path) if path.suffix == ".txt" else read_rows(path)
    for row in rows:
        if row.problem is not None:
            raise InputError(f"{path}:{row.line}: {row.problem}")
        yield row


def _as_it_is(fields: Fields) -> Mapping[str, object]:
    return fields


def _solved_problem(fields: Fields) -> Mapping[str, object]:
    """Return a problem and its gold solution as one document."""
    return {"text": f"{fields.get('question')}\n{fields.get('answer')}"}


# File: its data set, how many rows, and what a row becomes.
EVAL_FILES: Mapping[str, tuple[str, int, Callable[[Fields], Mapping[str, object]]]] = {
    "ifeval": ("instructions", 200, _as_it_is),
    "xstest": ("requests", 200, _as_it_is),
    "gsm8k": ("problems", 200, _solved_problem),
    "prose": ("prose", 40, _as_it_is),
}


def _to_jsonl(rows: Rows) -> str:
    return "".join(json.dumps(dict(row), ensure_ascii=False) + "\n" for row in rows)
