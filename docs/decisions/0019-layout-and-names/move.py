"""Moves the modules of `modules.tsv`, and their tests, and rewrites what imports them.

    python move.py modules.tsv     (modules2.tsv for the renames after a first reading by a newcomer)

Run from the root of the repository, at the commit before the layout that it makes.
"""

import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

HERE = Path(__file__).parent.relative_to(Path.cwd())
ROOT = Path("upbring")


def git(*words: str) -> None:
    subprocess.run(["git", *words], check=True)


def pairs() -> dict[Path, Path]:
    """Return every file of the package that moves, with the place it moves to."""
    made: dict[Path, Path] = {}
    for row in (HERE / sys.argv[1]).read_text().splitlines():
        old, new = row.split("\t")
        if old.endswith("/*"):
            folder, target = ROOT / old[:-2], ROOT / new[:-2]
            for path in sorted(p for p in folder.rglob("*") if p.is_file()):
                if "__pycache__" not in path.parts:
                    made.setdefault(path, target / path.relative_to(folder))
        else:
            made[ROOT / old] = ROOT / new
    return made


def test_of(path: Path) -> Path:
    inner = path.relative_to(ROOT)
    return Path("tests") / inner.with_name(f"test_{inner.name}")


def module(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def move(moves: dict[Path, Path]) -> None:
    """Move in two steps, so that two files may exchange their places."""
    with_tests = dict(moves)
    for old, new in moves.items():
        if old.suffix == ".py" and test_of(old).is_file():
            with_tests[test_of(old)] = test_of(new)
    for number, old in enumerate(with_tests):
        git("mv", str(old), f"{old}.moving{number}")
    for number, (old, new) in enumerate(with_tests.items()):
        new.parent.mkdir(parents=True, exist_ok=True)
        git("mv", f"{old}.moving{number}", str(new))
    for new in moves.values():
        for folder in new.parents:
            if folder not in (Path(), ROOT) and new.suffix == ".py":
                (folder / "__init__.py").touch()


IMPORT = re.compile(
    r"^(?P<indent> *(?:>>> )?)from (?P<package>upbring[\w.]*) import (?P<names>[\w, ]+)$",
    re.MULTILINE,
)


def with_module_imports(text: str, names: dict[str, str]) -> str:
    """Rewrite `from package import module`, and the uses of modules whose last name changes."""
    renamed: dict[str, str] = {}

    def line(hit: re.Match[str]) -> str:
        kept, lines = [], []
        for item in hit["names"].split(", "):
            name, _, alias = item.partition(" as ")
            target = names.get(f"{hit['package']}.{name}")
            if target is None:
                kept.append(item)
                continue
            package, _, last = target.rpartition(".")
            if not alias and last != name:
                renamed[name] = last
            lines.append(f"from {package} import {last}" + (f" as {alias}" if alias else ""))
        if kept:
            lines.insert(0, f"from {hit['package']} import {', '.join(kept)}")
        return "\n".join(hit["indent"] + each for each in lines)

    text = IMPORT.sub(line, text)
    return with_names(text, renamed) if renamed else text


def with_names(text: str, renamed: dict[str, str]) -> str:
    """Rename the variables that modules are bound to."""
    lines = text.splitlines(keepends=True)
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    for before, token, after in reversed(list(zip(tokens, tokens[1:], tokens[2:], strict=False))):
        if token.type == tokenize.NAME and token.string in renamed and before.string != ".":
            if after.string == "." or before.string in {"(", ","}:
                row, start = token.start
                line = lines[row - 1]
                lines[row - 1] = line[:start] + renamed[token.string] + line[token.end[1] :]
    return "".join(lines)


def rewrite(moves: dict[Path, Path]) -> None:
    """Rewrite dotted names and paths, longest first, all at once so that no name is met twice."""
    names = {module(old): module(new) for old, new in moves.items() if old.suffix == ".py"}
    names |= {str(old): str(new) for old, new in moves.items()}
    names |= {str(test_of(old)): str(test_of(new)) for old, new in moves.items()}
    for package in ("recipe", "nursery", "verify"):
        names.pop(f"upbring.{package}", None)
    names |= {"upbring.nursery": "upbring.toyworld", "upbring.verify": "upbring.rules"}
    some = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    wanted = re.compile(rf"(?<![\w.])({some})(?![\w])(?!\.(?!py\b)\w+/)")
    found = subprocess.run(["git", "ls-files"], check=True, capture_output=True, text=True)
    for path in map(Path, found.stdout.splitlines()):
        if (
            path.suffix in {".py", ".md", ".toml", ".yaml", ".html", ".jinja", ""}
            and path.is_file()
        ):
            if path.is_relative_to(HERE):
                continue
            text = path.read_text(encoding="utf-8")
            made = with_module_imports(text, names) if path.suffix == ".py" else text
            made = wanted.sub(lambda hit: names[hit[1]], made)
            if made != text:
                path.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    moves = pairs()
    move(moves)
    rewrite(moves)
