"""The rules of the code. A violation is reported as `file:line: what was found; what to do`."""

import ast
import doctest
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from upbring.stages.registry import methods

ROOT = Path(__file__).parents[1]
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_PACKAGE_MODULES = 22
LAYERS = {
    name: layer
    for layer, names in enumerate(
        (
            "errors plurals",
            "settings maths rules durable interruption remote privacy terminal tracking",
            "data runs",
            "model votes",
            "train judge web",
            "algorithms feedback evaluate report serve export toyworld",
            "stages",
            "pipeline",
            "cli api",
            "__main__",
            "__init__",
        )
    )
    for name in names.split()
}
POSIX_ONLY = {"fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"}
POSIX_FILES = {"upbring/durable/system.py", "upbring/durable/locking.py"}
HEAVY = {"torch", "transformers", "peft", "accelerate", "scipy", "matplotlib", "datasets"}
LIGHT_PACKAGES = {"errors", "plurals", "settings", "rules", "durable", "interruption", "runs"}
LAZY_PACKAGES = {"data", "cli", "__init__", "__main__"}  # within a function they may
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
# Metaphors and private words that were replaced by the field's terms (docs/glossary.md).
RETIRED_WORDS = frozenset(
    {
        *("announce", "craft", "credit", "guest", "guests", "hear", "hearing", "papers", "player"),
        *("players", "prospect", "rehearsal", "road", "sheet", "speech", "voice", "voices"),
    }
)
RETIRED_NAMES = frozenset({"cast"})  # as a whole name


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
    def package(self) -> str:
        """The package or module directly below `upbring`."""
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
    """Yield line and module of what a file imports from this code."""
    for line, name in imports(source):
        parts = name.split(".")
        if parts[0] == "upbring":
            while len(parts) > 1 and ".".join(parts) not in modules():
                parts.pop()
            yield line, ".".join(parts)


def test_a_module_imports_from_its_own_package_or_a_lower_layer() -> None:
    def violations() -> Iterator[str]:
        for source in sources():
            if source.package not in LAYERS:
                yield f"{source.name}:1: {source.package} has no layer; give it one in LAYERS"
                continue
            for line, module in imported_modules(source):
                if module == "upbring":
                    continue  # the version
                package = module.split(".")[1]
                if package != source.package and LAYERS.get(package, 99) >= LAYERS[source.package]:
                    found = f"{source.package} (layer {LAYERS[source.package]}) imports {module}"
                    yield f"{source.name}:{line}: {found}; import from lower layers, or pass it in"

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
                yield f"upbring: a cycle of imports in {cycle}; move what they share down"
                return
            for name in free:
                del left[name]

    report(violations())


def test_light_packages_import_no_heavy_library() -> None:
    def imported(source: Source) -> Iterator[tuple[int, str]]:
        if source.name in TENSOR_FILES:
            return
        if source.package in LIGHT_PACKAGES:
            yield from imports(source)
        elif source.package in LAZY_PACKAGES:
            yield from imports_at_top(source)

    def violations() -> Iterator[str]:
        for source in sources():
            for line, name in imported(source):
                if name.split(".")[0] in HEAVY:
                    yield f"{source.name}:{line}: imports {name}; this package stays light"

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


def test_a_package_has_at_most_22_modules() -> None:
    def violations() -> Iterator[str]:
        sizes = Counter(
            source.path.parent for source in sources() if source.path.name != "__init__.py"
        )
        for folder, size in sizes.items():
            if size > MAX_PACKAGE_MODULES:
                name = folder.relative_to(ROOT).as_posix()
                yield f"{name}:1: {size} modules; split it at {MAX_PACKAGE_MODULES}"

    report(violations())


def test_a_public_class_has_a_name_of_its_own() -> None:
    def violations() -> Iterator[str]:
        first: dict[str, str] = {}
        for source in sources():
            if source.package == "api":
                continue  # named for its callers, who see no other class: upbring.Run
            for node in source.tree.body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    where = f"{source.name}:{node.lineno}"
                    if node.name in first:
                        yield f"{where}: {node.name} is in {first[node.name]} too; rename one"
                    first.setdefault(node.name, where)

    report(violations())


def test_no_name_has_a_retired_word() -> None:
    def violations() -> Iterator[str]:
        for source in sources():
            for line, name in [(1, source.path.stem), *declared_names(source)]:
                retired = (RETIRED_WORDS & set(_words(name))) | (RETIRED_NAMES & {name})
                for word in retired:
                    yield f"{source.name}:{line}: {name}: the word {word} is retired; rename it"

    report(violations())


def declared_names(source: Source) -> Iterator[tuple[int, str]]:
    """Yield line and name of each class, function, parameter and constant of a file."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name
        if isinstance(node, ast.arg):
            yield node.lineno, node.arg
    for statement in source.tree.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else ()
        if isinstance(statement, ast.AnnAssign):
            targets = (statement.target,)
        for target in targets:
            if isinstance(target, ast.Name):
                yield statement.lineno, target.id


def _words(name: str) -> list[str]:
    """Return the words of a name in snake case or in capitals."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().split("_")


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


@pytest.mark.parametrize("name", list(methods()))
def test_a_method_has_settings_a_test_and_a_docs_page(name: str) -> None:
    method = methods()[name]
    settings_file = Path(*method.settings.partition(":")[0].split(".")).with_suffix(".py")
    wanted = [settings_file, Path("docs/algorithms", f"{name}.md")]
    algorithm = Path("upbring/algorithms", settings_file.name)
    wanted += [algorithm, Path("tests/algorithms", f"test_{settings_file.name}")]
    missing = [path.as_posix() for path in wanted if not (ROOT / path).is_file()]
    assert missing == [], f"{name} is a registered method; write them"


def with_examples() -> list[str]:
    return [source.module for source in sources() if ">>> " in source.text]


@pytest.mark.parametrize("name", with_examples())
def test_examples_in_docstrings_are_true(name: str) -> None:
    found = doctest.testmod(import_module(name))
    assert not found.failed
