"""Renames the symbols of `names.tsv` by their meaning: a language server finds every reference.

    python rename.py LANGSERVER.js names.tsv    (pyright-langserver of the npm package pyright)

A row is: path, symbol, new name. A symbol is `Class`, `Class.member`, `function`,
`function(parameter)`, `function.local`, `Class.method(parameter)` or `Class.method.local`. All
references are asked for before the first file changes; then every file is written once. What could
not be found, or would be renamed to two names, is printed and left.
"""

import ast
import json
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path.cwd()
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Server:
    """A language server on the other side of two pipes."""

    def __init__(self, script: str) -> None:
        self.process = subprocess.Popen(
            ["node", script, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.number = 0

    def send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        length = 0
        while line := self.process.stdout.readline().strip():
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return json.loads(self.process.stdout.read(length))  # type: ignore[no-any-return]

    def ask(self, method: str, params: Any) -> Any:
        self.number += 1
        mine = self.number
        self.send({"id": mine, "method": method, "params": params})
        while True:
            got = self.receive()
            if "method" in got and "id" in got:  # the server asks: it gets its defaults
                items = got.get("params", {}).get("items", []) if got["params"] else []
                self.send({"id": got["id"], "result": [None for _ in items] or None})
            elif got.get("id") == mine:
                return got.get("result")

    def start(self) -> None:
        folder = {"uri": ROOT.as_uri(), "name": "root"}
        self.ask(
            "initialize",
            {
                "processId": None,
                "rootUri": ROOT.as_uri(),
                "workspaceFolders": [folder],
                "capabilities": {"workspace": {"workspaceFolders": True, "configuration": True}},
            },
        )
        self.send({"method": "initialized", "params": {}})

    def open(self, path: Path) -> None:
        item = {"uri": path.as_uri(), "languageId": "python", "version": 1}
        text = path.read_text(encoding="utf-8")
        self.send(
            {"method": "textDocument/didOpen", "params": {"textDocument": {**item, "text": text}}}
        )


def position(path: Path, symbol: str) -> tuple[int, int] | None:
    """Return line and column, from 0, of the place that defines a symbol."""
    lines = path.read_text(encoding="utf-8").splitlines()
    tree: ast.AST = ast.parse("\n".join(lines))
    symbol, _, parameter = symbol.rstrip(")").partition("(")
    *outer, last = [*symbol.split("."), *([parameter] if parameter else [])]
    for name in outer:
        inner = [n for n in ast.walk(tree) if isinstance(n, SCOPES) and n.name == name]
        if not inner:
            return None
        tree = inner[0]
    for node in ast.walk(tree):
        found = defined(node, last, lines)
        if found is not None and node is not tree:
            return found
    for node in ast.walk(tree):  # self.name = …
        if isinstance(node, ast.Attribute) and node.attr == last and isinstance(node.ctx, ast.Store):
            return node.end_lineno - 1, column(lines, node.end_lineno, node.end_col_offset) - len(last)  # type: ignore[operator]
    return None


def column(lines: list[str], line: int | None, offset: int | None) -> int:
    return len(lines[(line or 1) - 1].encode()[: offset or 0].decode())


def defined(node: ast.AST, name: str, lines: list[str]) -> tuple[int, int] | None:
    if isinstance(node, SCOPES) and node.name == name:
        text = lines[node.lineno - 1]
        return node.lineno - 1, text.index(f" {name}", node.col_offset) + 1
    is_name = isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store)
    if is_name or (isinstance(node, ast.arg) and node.arg == name):
        return node.lineno - 1, column(lines, node.lineno, node.col_offset)  # type: ignore[attr-defined]
    return None


def wait_until_read(server: Server) -> None:
    """Ask for a name that most files use until the server has read them all."""
    path = ROOT / "upbring/errors.py"
    server.open(path)
    line, character = position(path, "InputError") or (0, 0)
    spot = {"line": line, "character": character}
    params = {"textDocument": {"uri": path.as_uri()}, "position": spot}
    known = -1
    while True:
        hits = server.ask(
            "textDocument/references", {**params, "context": {"includeDeclaration": True}}
        )
        if len(hits or ()) == known > 20:  # noqa: PLR2004 -- as many as in its own file
            return
        known = len(hits or ())
        time.sleep(2)


def main() -> None:
    server, table = Server(sys.argv[1]), Path(sys.argv[2])
    server.start()
    opened: set[Path] = set()
    wait_until_read(server)
    edits: dict[Path, dict[tuple[int, int], tuple[str, str]]] = defaultdict(dict)
    rows = dict.fromkeys(line for line in table.read_text().splitlines() if line.count("\t") >= 2)
    for number, row in enumerate(rows):
        file, symbol, new = row.split("\t")[:3]
        path = ROOT / file
        place = position(path, symbol) if path.is_file() else None
        if place is None:
            print("not found:", row)
            continue
        if path not in opened:
            opened.add(path)
            server.open(path)
        old = symbol.rstrip(")").replace("(", ".").split(".")[-1]
        spot = {"line": place[0], "character": place[1]}
        params = {"textDocument": {"uri": path.as_uri()}, "position": spot}
        hits = server.ask("textDocument/references", {**params, "context": {"includeDeclaration": True}})
        if not hits:
            print("no references:", row)
            continue
        for hit in hits:
            target = Path(hit["uri"].removeprefix("file://"))
            start, end = hit["range"]["start"], hit["range"]["end"]
            if not target.is_relative_to(ROOT) or ".venv" in target.parts:
                continue
            if end["character"] - start["character"] != len(old) or start["line"] != end["line"]:
                print("odd reference:", target.relative_to(ROOT), start, row)
                continue
            key = (start["line"], start["character"])
            if edits[target].setdefault(key, (old, new)) != (old, new):
                print("two names:", target.relative_to(ROOT), key, edits[target][key], (old, new))
        if number % 100 == 0:
            print(number, "of", len(rows), file=sys.stderr, flush=True)
    for path, changes in edits.items():
        lines = path.read_text(encoding="utf-8").split("\n")
        for (line, start), (old, new) in sorted(changes.items(), reverse=True):
            text = lines[line]
            if text[start : start + len(old)] != old:
                print("no such text:", path.relative_to(ROOT), line + 1, old, new)
                continue
            lines[line] = text[:start] + new + text[start + len(old) :]
        path.write_text("\n".join(lines), encoding="utf-8")
    server.process.kill()


if __name__ == "__main__":
    main()
