"""The house keeps its own rules. A violation is told as `file:line: what was found; what to do`."""

import ast
import doctest
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from upbring.settings.command_table import commands

ROOT = Path(__file__).parents[1]
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
LAYERS = {
    "errors": 0,
    "settings": 1,
    "maths": 1,
    "rules": 1,
    "durable": 1,
    "interruption": 1,
    "privacy": 1,
    "data": 2,
    "runs": 2,
    "model": 3,
    "train": 4,
    "judge": 4,
    "web": 4,
    "algorithms": 5,
    "evaluate": 5,
    "report": 5,
    "serve": 5,
    "export": 5,
    "toyworld": 5,
    "stages": 6,
    "pipeline": 7,
    "cli": 8,
    "__main__": 9,
    "__init__": 10,
}
POSIX_ONLY = {"fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"}
POSIX_FILES = {"upbring/durable/system.py"}
HEAVY = {"torch", "transformers", "peft", "accelerate", "scipy", "matplotlib", "datasets"}
LIGHT_ROOMS = {"errors", "settings", "rules", "durable", "interruption", "runs"}
LAZY_ROOMS = {"data", "cli", "__init__", "__main__"}  # within a function they may
TENSOR_FILES = {"upbring/data/trees/tree.py", "upbring/data/trees/batch.py"}
UNSAFE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
UNSAFE_CALLS = {
    "eval",
    "exec",
    "os.system",
    "torch.load",
    "yaml.load",
    "yaml.load_all",
    "yaml.full_load",
    "yaml.unsafe_load",
    "jinja2.Environment",
    "jinja2.Template",
    "jinja2.NativeEnvironment",
}
UNSAFE_KEYWORDS = {"shell", "trust_remote_code", "allow_pickle"}
UNSAFE_NAMES = {"Environment", "Template"}  # of jinja2; its sandbox has others
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "base", "core", "lib"}
BANNED_NAMES = {"args", "kwargs", "input_ids", "mask", "masks"}
BANNED_WORDS = {
    "cfg": "settings",
    "completion": "response",
    "completions": "responses",
    "logp": "logprob",
    "logps": "logprobs",
    "trajectory": "rollout",
    "trajectories": "rollouts",
}
SHELL_COMPLETION = "upbring/cli/completion.py"  # where the banned word has its other meaning


@dataclass(frozen=True)
class Source:
    """One file of code, parsed."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def module(self) -> str:
        return ".".join(self.path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")

    @property
    def room(self) -> str:
        parts = self.path.relative_to(ROOT).with_suffix("").parts
        return parts[1]


def _is_foreign(path: Path) -> bool:
    """Whether a path lies in a cache or an environment inside of the tree."""
    return any(
        part == "__pycache__" or part.startswith(".") for part in path.relative_to(ROOT).parts
    )


@cache
def sources(folder: str = "upbring") -> tuple[Source, ...]:
    paths = sorted(p for p in (ROOT / folder).rglob("*.py") if not _is_foreign(p))
    texts = [(path, path.read_text(encoding="utf-8")) for path in paths]
    return tuple(Source(path, text, ast.parse(text, str(path))) for path, text in texts)


def everything() -> tuple[Source, ...]:
    return sources("upbring") + sources("tests") + sources("bench")


def report(violations: Iterator[str]) -> None:
    found = list(violations)
    if found:
        pytest.fail("\n".join(found), pytrace=False)


def imports(source: Source) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of everything that a file imports, at its top or later."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{source.name}:{node.lineno}: relative import; write it out"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def imports_at_top(source: Source) -> Iterator[tuple[int, str]]:
    bodies = [node for node in source.tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    yield from imports(Source(source.path, "", ast.Module(list(bodies), [])))


@cache
def modules() -> frozenset[str]:
    return frozenset(source.module for source in sources())


def imported_modules(source: Source) -> Iterator[tuple[int, str]]:
    """Yield line and module of what a file imports from the house."""
    for line, name in imports(source):
        parts = name.split(".")
        if parts[0] == "upbring":
            while len(parts) > 1 and ".".join(parts) not in modules():
                parts.pop()
            yield line, ".".join(parts)


def test_a_module_imports_from_its_own_room_or_a_lower_floor() -> None:
    def violations() -> Iterator[str]:
        for source in sources():
            if source.room not in LAYERS:
                yield f"{source.name}:1: room {source.room} has no floor; give it one in LAYERS"
                continue
            for line, module in imported_modules(source):
                if module == "upbring":
                    continue  # the version
                room = module.split(".")[1]
                if room != source.room and LAYERS.get(room, 99) >= LAYERS[source.room]:
                    found = f"{source.room} (floor {LAYERS[source.room]}) imports {module}"
                    yield f"{source.name}:{line}: {found}; import downwards only, or hand it in"

    report(violations())


def test_imports_have_no_cycles() -> None:
    edges = {
        source.module: {module for _, module in imported_modules(source)} - {source.module}
        for source in sources()
        if source.module != "upbring"
    }

    def violations() -> Iterator[str]:
        left = dict(edges)
        while left:  # take away what imports nothing that is left; a cycle remains
            free = [name for name, targets in left.items() if not targets & left.keys()]
            if not free:
                cycle = " ".join(sorted(left))
                yield f"upbring: imports in a circle among {cycle}; move what they share down"
                return
            for name in free:
                del left[name]

    report(violations())


def test_heavy_libraries_stay_out_of_light_rooms() -> None:
    def imported(source: Source) -> Iterator[tuple[int, str]]:
        if source.name in TENSOR_FILES:
            return
        if source.room in LIGHT_ROOMS:
            yield from imports(source)
        elif source.room in LAZY_ROOMS:
            yield from imports_at_top(source)

    def violations() -> Iterator[str]:
        for source in sources():
            for line, name in imported(source):
                if name.split(".")[0] in HEAVY:
                    yield f"{source.name}:{line}: imports {name}; this room stays light"

    report(violations())


def test_only_one_file_knows_posix() -> None:
    def violations() -> Iterator[str]:
        for source in sources():
            if source.name not in POSIX_FILES:
                for line, name in imports(source):
                    if name.split(".")[0] in POSIX_ONLY:
                        yield f"{source.name}:{line}: imports {name}; ask durable for it"

    report(violations())


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return f"{dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else "?"


def unsafe_calls(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call):
            continue
        if dotted(node.func) in UNSAFE_CALLS:
            yield f"{source.name}:{node.lineno}: calls {dotted(node.func)}; find a safe way"
        for keyword in node.keywords:
            is_true = isinstance(keyword.value, ast.Constant) and keyword.value.value is True
            if keyword.arg in UNSAFE_KEYWORDS and is_true:
                yield f"{source.name}:{node.lineno}: {keyword.arg}=True; never"


def unsafe_imports(source: Source) -> Iterator[str]:
    for line, name in imports(source):
        head, _, last = name.rpartition(".")
        if name.split(".")[0] in UNSAFE_MODULES:
            yield f"{source.name}:{line}: imports {name}; write JSON or safetensors"
        if head == "jinja2" and last in UNSAFE_NAMES:
            yield f"{source.name}:{line}: imports {name}; use jinja2.sandbox"


def test_nothing_unsafe_is_called_or_imported() -> None:
    checks = (unsafe_calls, unsafe_imports)
    report(text for check in checks for source in sources() for text in check(source))


def test_files_and_functions_are_short() -> None:
    def violations() -> Iterator[str]:
        for source in everything():
            num_lines = source.text.count("\n")
            if num_lines > MAX_FILE_LINES:
                yield f"{source.name}:1: {num_lines} lines; split it at {MAX_FILE_LINES}"
            for node in functions(source):
                num_lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if num_lines > MAX_FUNCTION_LINES:
                    found = f"{node.name} has {num_lines} lines"
                    yield f"{source.name}:{node.lineno}: {found}; split it"

    report(violations())


def functions(source: Source) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_files_say_what_they_are() -> None:
    def violations() -> Iterator[str]:
        for source in everything():
            if source.path.stem in VAGUE:
                yield f"{source.name}:1: {source.path.stem} says nothing; name what is in it"

    report(violations())


def test_one_word_is_used_for_one_thing() -> None:
    def names(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
        given = function.args
        yield function.name
        for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs):
            yield argument.arg

    def violations() -> Iterator[str]:
        for source in sources():
            if source.name == SHELL_COMPLETION:
                continue
            for function in functions(source):
                where = f"{source.name}:{function.lineno}"
                for name in names(function):
                    if name in BANNED_NAMES:
                        yield f"{where}: the name {name}; see docs/glossary.md for the house's word"
                    for word in BANNED_WORDS.keys() & set(name.strip("_").split("_")):
                        yield f"{where}: the name {name}; say {BANNED_WORDS[word]}, not {word}"

    report(violations())


def has_logic(source: Source) -> bool:
    """Whether a file has a function with more than a docstring in it."""
    for function in functions(source):
        body = [
            node
            for node in function.body
            if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        ]
        if body:
            return True
    return False


def test_every_module_with_logic_has_a_test_of_its_name() -> None:
    def violations() -> Iterator[str]:
        for source in sources():
            if source.path.stem.startswith("__") or not has_logic(source):
                continue
            inner = source.path.relative_to(ROOT / "upbring")
            test = Path("tests") / inner.with_name(f"test_{inner.name}")
            if not (ROOT / test).is_file():
                yield f"{source.name}:1: has no test; write {test.as_posix()}"

    report(violations())


def test_every_algorithm_has_all_things_of_its_name() -> None:
    readme = ROOT / "README.md"
    lines = readme.read_text(encoding="utf-8").splitlines() if readme.is_file() else []

    def violations() -> Iterator[str]:
        for source in sources():
            name = source.path.stem
            if source.room != "algorithms" or name not in commands():  # or shared by several
                continue
            wanted = [
                f"upbring/settings/methods/{name}.py",
                f"tests/algorithms/test_{name}.py",
                f"docs/algorithms/{name}.md",
                f"recipes/{name}.yaml",
            ]
            for path in wanted:
                if not (ROOT / path).is_file():
                    yield f"{source.name}:1: {path} is missing; write it"
            if not any(line.startswith("|") and name in line.lower() for line in lines):
                yield f"{source.name}:1: no row of a table in README.md names {name}; add one"

    report(violations())


def with_examples() -> list[str]:
    return [source.module for source in sources() if ">>> " in source.text]


@pytest.mark.parametrize("name", with_examples())
def test_examples_in_docstrings_are_true(name: str) -> None:
    found = doctest.testmod(import_module(name))
    assert not found.failed
