"""The reference page of the Python API, docs/api.md, generated from the functions themselves.

Each example is a statement of `examples/python_api.py`, which a test runs.
"""

import ast
import dataclasses
import inspect
from collections.abc import Iterator
from pathlib import Path

import upbring
from upbring.api.functions import public_functions
from upbring.api.signatures import PublicFunction
from upbring.errors import UpbringError

API_PAGE = "docs/api.md"
EXAMPLES = "examples/python_api.py"
PREFACE = """# Python API

This page is generated from the functions themselves; run `make docs` after changing them. How to
use them in a notebook: [how-to/notebook.md](how-to/notebook.md).

```py
import upbring as ub
```

- A function has the settings of its command, with the same names, defaults and meaning, as Python
  values. The same settings give the same weights, to the last bit.
- `ModelLike` is a folder, a hub id, a `builtin:` name or a `Run`.
- `Data` is a path, a list of dicts, a `datasets.Dataset`, a DataFrame, any other iterable of dicts,
  or a list of these. Rows in memory are written once to a file in `runs/.rows`, whose name is a
  hash of its content, so that a run can be resumed and says what it was trained on.
- A weight is a pair or a dict: `mix=[("g.jsonl", 0.2)]`, `reward_function={"json": 0.5}`.
- `reward` is a function such as `correct` below, a name (`"exact"`, `"rewards.py:correct"`), or a
  list of these; each may be a pair with its weight. It takes what it names of `prompt`, `response`,
  `row` and `messages`, and `row` has all columns of the prompt's row. Names are recorded with the
  run; a function is not, so give it to `resume` again.
- An error is an `UpbringError` that names the argument. Its message says what to do.
- [Names from other tools](settings.md#names-from-other-tools) work at run time, such as `lr`; a
  type checker does not know them.
"""
ERRORS_HEAD = """
## Errors

All are subclasses of `UpbringError`; `exit_code` is the exit code of the command.

| error | exit code | |
|---|---|---|
"""


def api_page(examples: str) -> str:
    """Return the page; `examples` is the text of the examples."""
    statements = _statements(examples)
    training = [each for each in public_functions().values() if each.returns == "Run"]
    measuring = [each for each in public_functions().values() if each.returns != "Run"]
    lines = [PREFACE, "\n## Training\n"]
    lines += [_settings_function(each, statements) for each in training]
    lines += [_function(name, statements) for name in ("train", "resume", "run", "plan")]
    lines.append("\n## Measuring\n")
    lines += [_settings_function(each, statements) for each in measuring]
    lines.append("\n## Models\n")
    lines += [_function(name, statements) for name in ("load", "export", "import_gguf")]
    lines.append("\n## Classes\n")
    lines += [_class(name) for name in upbring.__all__ if _is_documented_class(name)]
    return "".join([*lines, ERRORS_HEAD, *_error_rows()])


def write_api_page(root: Path) -> None:
    """Write the page of a checkout."""
    examples = (root / EXAMPLES).read_text(encoding="utf-8")
    (root / API_PAGE).write_text(api_page(examples), encoding="utf-8")


def _statements(source: str) -> list[str]:
    """Return the statements of a script, each as it is written."""
    return [ast.get_source_segment(source, node) or "" for node in ast.parse(source).body]


def _example(name: str, statements: list[str]) -> str:
    """Return the first statement that calls a function, as a block."""
    found = next((each for each in statements if f"ub.{name}(" in each), None)
    assert found is not None, f"{EXAMPLES} does not call ub.{name}"
    return f"\n```py\n{found}\n```\n"


def _settings_function(function: PublicFunction, statements: list[str]) -> str:
    names = ", ".join([*function.positional, "*", "…"])
    text = " ".join(filter(None, (function.summary, function.description)))
    settings = f"[Settings and defaults](settings.md#{function.command})"
    heading = f"\n### {function.name}\n\n`ub.{function.name}({names}) -> {function.returns}`\n"
    return f"{heading}\n{text} {settings}.\n{_example(function.name, statements)}"


def _function(name: str, statements: list[str]) -> str:
    function = getattr(upbring, name)
    heading = f"\n### {name}\n\n`ub.{name}{_signature(function)}`\n"
    return f"{heading}\n{_documentation(function)}\n{_example(name, statements)}"


def _class(name: str) -> str:
    kind = getattr(upbring, name)
    lines = [f"\n### {name}\n\n{_documentation(kind)}\n\n| | |\n|---|---|\n"]
    if dataclasses.is_dataclass(kind):
        for field in dataclasses.fields(kind):
            type_name = inspect.formatannotation(field.type).replace("upbring.api.", "")
            lines.append(f"| `{field.name}` | `{type_name}` |\n".replace(" | None", " \\| None"))
    for member, value in sorted(vars(kind).items()):
        if member.startswith("_"):
            continue
        is_property = isinstance(value, property)
        if is_property or inspect.isfunction(value):
            shown = member if is_property else f"{member}{_signature(value)}"
            summary = " ".join((inspect.getdoc(value) or "").split("\n\n")[0].split())
            lines.append(f"| `{shown}` | {summary} |\n".replace("[|", "[\\|"))
    return "".join(lines)


def _is_documented_class(name: str) -> bool:
    value = getattr(upbring, name)
    return inspect.isclass(value) and not issubclass(value, UpbringError)


def _signature(function: object) -> str:
    """Return a signature without the types, which editors show."""
    assert callable(function), f"{function} is no function"
    signature = inspect.signature(function)
    parameters = [
        each.replace(annotation=inspect.Parameter.empty)
        for each in signature.parameters.values()
        if each.name != "self"
    ]
    plain = inspect.Signature(parameters)
    returns = signature.return_annotation
    shown = returns if isinstance(returns, str) else inspect.formatannotation(returns)
    return f"{plain} -> {shown.replace('upbring.api.', '').rpartition('.')[2] or shown}"


def _documentation(value: object) -> str:
    """Return a docstring as Markdown; its arguments become a list."""
    text, _, arguments = (inspect.getdoc(value) or "").partition("\n\nArgs:\n")
    return text + ("\n\n" + "\n".join(_argument_items(arguments)) if arguments else "")


def _argument_items(text: str) -> Iterator[str]:
    items: list[str] = []
    for line in text.splitlines():
        if line.startswith("     "):
            items[-1] += " " + line.strip()
        else:
            items.append(line.strip())
    for item in items:
        name, _, help_text = item.partition(": ")
        yield f"- `{name}`: {help_text}"


def _error_rows() -> Iterator[str]:
    for name in upbring.__all__:
        value = getattr(upbring, name)
        if inspect.isclass(value) and issubclass(value, UpbringError) and value is not UpbringError:
            summary = (inspect.getdoc(value) or "").partition("\n")[0]
            yield f"| `{name}` | {value.exit_code} | {summary} |\n"
