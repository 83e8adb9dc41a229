"""Which format a file has: told from the fields of its first rows and from what is wanted.

Rows are not judged here; `shapes` knows the formats, `formats` reads by what is found.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from upbring.data.read import files
from upbring.data.read.format_table import COLUMNS, NAMES, PREFERENCES, SHAPES, Kind, Reader, Shape
from upbring.data.read.malformed_rows import Malformed
from upbring.data.read.records import Comparison, Demonstration, Document, Label, Prompt
from upbring.data.read.rows import Fields, rows
from upbring.errors import InputError, nearest, shown

_SNIFFED = 50
_LISTED = 12
_LONG = 40
_PREFIX = "columns:"
_PLURALS: dict[Kind, str] = {
    Document: "documents",
    Prompt: "prompts",
    Demonstration: "demonstrations",
    Comparison: "comparisons",
    Label: "labels",
}
_VERBS: dict[Kind, str] = {
    Document: "`upbring pretrain`",
    Prompt: "`upbring ppo`",
    Demonstration: "`upbring sft`",
    Comparison: "`upbring reward` or `upbring dpo`",
    Label: "`upbring kto`",
}
_PROMPT_WORDS = ("prompt", "question", "instruction", "query", "request", "behavior", "behaviour")
_RESPONSE_WORDS = ("response", "completion", "answer", "output", "reply", "solution", "target")


@dataclass(frozen=True)
class Recognised:
    """A format: the name that is said, what reads a row, columns to rename, fields left unread."""

    name: str
    read: Reader | None  # None for plain text, which has no fields
    columns: dict[str, str] = field(default_factory=dict)
    unread: tuple[str, ...] = ()

    def fields(self, row: Fields) -> Fields:
        """Return the row's fields under the names that the format knows."""
        return _renamed(row, self.columns) if self.columns else row

    def __str__(self) -> str:
        left = f"; not read: {listed(self.unread)}" if self.unread else ""
        return f"format {self.name}{left}"


def recognise(path: Path, want: Kind, *, format: str = "auto") -> Recognised:  # noqa: A002 -- the setting's name
    """Return the format of a file that is to be read as `want`."""
    files_kind = files.extension(path)
    forced = format.strip()
    if files_kind == ".txt":
        files.check_path(path)
        return _plain_text(path, want, forced)
    columns = _columns(forced) if forced.startswith(_PREFIX) else {}
    if not columns and forced not in {"auto", *NAMES}:
        near = nearest(forced, NAMES)
        hint = f"did you mean {near}? " if near else ""
        raise InputError(
            f"--format {forced}: no such format; {hint}use auto, columns:prompt=NAME,… "
            f"or one of {', '.join(NAMES)}"
        )
    found = _first_rows(path)
    if columns:
        _check_columns(path, columns, found)
    elif forced == "auto" and (guess := _guess(path, want, found)):
        columns = guess
    seen = [_renamed(row, columns) for row in found]
    shape = _choose(path, want, seen) if columns or forced == "auto" else _named(forced, seen)
    if want not in shape.serves + shape.by_force:
        raise InputError(_wrong_kind(path, want, shape))
    unread = sorted({name for row in found for name in row} - set(columns.values()) - shape.uses)
    shown = ", ".join(f"{new}={old}" for new, old in columns.items())
    name = f"{shape.name} ({shown})" if columns else shape.name
    return Recognised(name, shape.reader(want), columns, tuple(unread if not columns else ()))


def listed(names: Iterable[str]) -> str:
    """Return the names as a message shows them, the first dozen of many.

    >>> listed(["a", "b c"])
    'a, b c'
    """
    known = list(names)
    more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
    plain = [n if n.isprintable() and len(n) < _LONG else shown(n) for n in known[:_LISTED]]
    return ", ".join(plain) + more


def _plain_text(path: Path, want: Kind, forced: str) -> Recognised:
    if want not in {Document, Prompt}:
        raise InputError(
            f"{path}: holds plain text, {_PLURALS[want]} are wanted; use {_VERBS[Document]}, "
            'or write rows such as {"prompt": "…", "response": "…"} into a .jsonl file'
        )
    if forced not in {"auto", "text"}:
        raise InputError(f"--format {forced}: {path} is plain text; use auto or text")
    return Recognised("text" if want is Document else "text, a prompt in each line", None)


def _first_rows(path: Path) -> list[Fields]:
    """Return the first well-formed rows, which may come after any number of others."""
    malformed = Malformed(path, None)
    found: list[Fields] = []
    total = 0
    for row in rows(path):
        total += 1
        if row.problem is not None:
            malformed.add(row, row.problem)
        else:
            found.append(row.fields)
            if len(found) == _SNIFFED:
                break
    if not found:
        raise malformed.error(total)
    return found


def _choose(path: Path, want: Kind, seen: list[Fields]) -> Shape:
    """Return the format that fits most rows, of equals the first in the table."""

    def best(shapes: list[Shape]) -> Shape | None:
        fitting = {shape.name: sum(map(shape.fits, seen)) for shape in shapes}
        shape = max(shapes, key=lambda s: fitting[s.name])
        return shape if fitting[shape.name] else None

    # Rows with a good-or-bad label look like demonstrations, but half of them show what not to say.
    labelled = [s for s in SHAPES if s.name == "labels"] if want is Demonstration else []
    shape = best(labelled + [s for s in SHAPES if want in s.serves])
    if shape is not None and want in shape.serves:
        return shape
    other = best(list(SHAPES))
    if other is None or (other.name == "prompts" and want is not Prompt):
        raise InputError(_unknown(path, want, seen))
    raise InputError(_wrong_kind(path, want, other))


def _named(name: str, seen: list[Fields]) -> Shape:
    if name == "preference":
        fitting = [s for s in PREFERENCES if any(s.fits(row) for row in seen)]
        if fitting:
            return max(fitting, key=lambda s: sum(map(s.fits, seen)))
    return next(shape for shape in SHAPES if shape.name == name)


def _columns(format_: str) -> dict[str, str]:
    columns = {}
    for pair in format_.removeprefix(_PREFIX).split(","):
        new, _, old = (part.strip() for part in pair.partition("="))
        if new not in COLUMNS or not old:
            near = nearest(new, COLUMNS)
            hint = f"did you mean {near}? " if near and near != new else ""
            raise InputError(
                f"--format {format_}: {pair!r} is not FIELD=COLUMN; {hint}"
                f"FIELD is one of {', '.join(COLUMNS)}"
            )
        columns[new] = old
    return columns


def _check_columns(path: Path, columns: dict[str, str], found: list[Fields]) -> None:
    known = {name: None for row in found for name in row}
    for old in columns.values():
        if old not in known:
            near = nearest(old, known)
            hint = f"did you mean {near}? " if near else ""
            raise InputError(
                f"{path}: has no column {old!r}; {hint}its columns are {listed(known)}"
            )


def _renamed(row: Fields, columns: dict[str, str]) -> Fields:
    if not columns:
        return row
    return {new: row[old] for new, old in columns.items() if old in row}


def _guess(path: Path, want: Kind, found: list[Fields]) -> dict[str, str]:
    """Return the one column that must be the prompt; only for prompts: little can go wrong."""
    if want is not Prompt or any(shape.fits(found[0]) for shape in SHAPES if want in shape.serves):
        return {}
    names = _resembling(found[0], _PROMPT_WORDS)
    if len(names) > 1:
        raise InputError(_unknown(path, want, found))
    return {"prompt": names[0]} if names else {}


def _resembling(names: Fields, words: tuple[str, ...]) -> list[str]:
    """Return the names equal to one of the words but for capitals, else those that contain one.

    >>> _resembling({"Behavior": 1, "BehaviorID": 2}, ("behavior",))
    ['Behavior']
    """
    plain = [name for name in names if name.isprintable()]
    equal = [name for name in plain if name.casefold() in words]
    return equal or [name for name in plain if any(word in name.casefold() for word in words)]


def _unknown(path: Path, want: Kind, seen: list[Fields]) -> str:
    names = {name: None for row in seen for name in row}
    known = "; ".join(f"{s.name} ({s.fields})" for s in SHAPES if want in s.serves)
    prompts = _resembling(names, _PROMPT_WORDS) or ["COLUMN"]
    responses = _resembling(names, _RESPONSE_WORDS) or ["COLUMN"]
    wanted: dict[Kind, str] = {
        Document: "text=COLUMN",
        Prompt: f"prompt={prompts[0]}",
        Demonstration: f"prompt={prompts[0]},response={responses[0]}",
        Comparison: f"prompt={prompts[0]},chosen=COLUMN,rejected=COLUMN",
        Label: f"prompt={prompts[0]},response={responses[0]},label=COLUMN",
    }
    todo = f"say which is which: --format columns:{wanted[want]}"
    if len(seen) == 1 and (inside := next((n for n, v in seen[0].items() if _is_rows(v)), None)):
        todo = f"its rows are inside {shown(inside)}: write that list as the whole file"
    gives = _PLURALS[want]
    return f"{path}: its fields {listed(names)} fit no format that gives {gives}: {known}; {todo}"


def _is_rows(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _wrong_kind(path: Path, want: Kind, shape: Shape) -> str:
    gives = " and ".join(_PLURALS[kind] for kind in shape.serves)
    verb = _VERBS[shape.serves[0]]
    force = f", or read it so all the same: --format {shape.name}" if want in shape.by_force else ""
    return (
        f"{path}: is in the format {shape.name} ({shape.fields}), which gives {gives}, "
        f"not {_PLURALS[want]}; use {verb}{force}"
    )
