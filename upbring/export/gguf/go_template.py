"""Renders the part of Go's text/template in which Ollama's chat templates are written.

Enough to check a translated template: text, `range`, `if`/`else if`/`else`, variables, fields, and
the functions eq, ne, and, or, not, len and slice. Anything else is an error, never ignored.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

ACTION = re.compile(r"\{\{(- )?(.*?)( -)?\}\}", re.DOTALL)
TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|\(|\)|:=|=|,|\d+|\$?[\w.]*\w|\$|\.)')
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}
Value = object
Words = list[str]


class GoTemplateError(ValueError):
    """The template has something that is not supported, or is malformed."""


@dataclass
class Node:
    """A text, an expression, or a block with a body and perhaps an `else`."""

    kind: str  # text, print, assign, range or if
    words: Words = field(default_factory=list)
    text: str = ""
    body: list["Node"] = field(default_factory=list)
    otherwise: list["Node"] = field(default_factory=list)


def render(template: str, data: Mapping[str, Value]) -> str:
    """Return the text of a template with `data` as its dot."""
    parts = [*_split(template)]
    nodes, end, _ = _parse(parts, 0)
    if end is not None:
        raise GoTemplateError(f"unexpected {{{{ {end} }}}}")
    out: list[str] = []
    _Scope(data, data).run(nodes, out)
    return "".join(out)


def _split(template: str) -> Iterator[tuple[bool, str]]:
    """Yield texts and actions in order; `{{-` and `-}}` strip the white space beside them."""
    position, strips = 0, False
    for match in ACTION.finditer(template):
        text = template[position : match.start()]
        text = text.lstrip(" \t\r\n") if strips else text
        yield False, text.rstrip(" \t\r\n") if match[1] else text
        yield True, match[2].strip()
        position, strips = match.end(), bool(match[3])
    rest = template[position:]
    yield False, rest.lstrip(" \t\r\n") if strips else rest


def _parse(parts: Sequence[tuple[bool, str]], index: int) -> tuple[list[Node], str | None, int]:
    """Return the nodes up to `end` or `else`, that action, and the next index."""
    nodes: list[Node] = []
    while index < len(parts):
        is_action, text = parts[index]
        index += 1
        if not is_action:
            nodes.append(Node("text", text=text))
            continue
        words = _words(text)
        if not words or words[0] in {"end", "else"}:
            return nodes, text, index
        if words[0] in {"range", "if"}:
            node, index = _parse_block(words[0], words[1:], parts, index)
            nodes.append(node)
        else:
            kind = "assign" if len(words) > 1 and words[1] in {":=", "="} else "print"
            nodes.append(Node(kind, words))
    return nodes, None, index


def _parse_block(
    kind: str, words: Words, parts: Sequence[tuple[bool, str]], index: int
) -> tuple[Node, int]:
    body, end, index = _parse(parts, index)
    node = Node(kind, words, body=body)
    if end is None:
        raise GoTemplateError(f"{kind} has no end")
    if end.startswith("else if "):
        inner, index = _parse_block("if", _words(end.removeprefix("else if ")), parts, index)
        node.otherwise = [inner]
    elif end == "else":
        node.otherwise, end, index = _parse(parts, index)
        if end != "end":
            raise GoTemplateError(f"{kind} has no end")
    elif end != "end":
        raise GoTemplateError(f"unexpected {{{{ {end} }}}}")
    return node, index


def _words(text: str) -> Words:
    words, position = [], 0
    while position < len(text):
        match = TOKEN.match(text, position)
        if match is None:
            raise GoTemplateError(f"cannot read {text[position:]!r}")
        words.append(match[1])
        position = match.end()
    return words


@dataclass
class _Scope:
    """The dot, the variables and the root of one block."""

    dot: Value
    root: Value
    variables: dict[str, Value] = field(default_factory=dict)

    def run(self, nodes: Sequence[Node], out: list[str]) -> None:
        for node in nodes:
            if node.kind == "text":
                out.append(node.text)
            elif node.kind == "print":
                out.append(_printed(self.evaluate(node.words)))
            elif node.kind == "assign":
                self.variables[node.words[0]] = self.evaluate(node.words[2:])
            elif node.kind == "if":
                chosen = node.body if _is_true(self.evaluate(node.words)) else node.otherwise
                _Scope(self.dot, self.root, dict(self.variables)).run(chosen, out)
            else:
                self._run_range(node, out)

    def _run_range(self, node: Node, out: list[str]) -> None:
        words, names = node.words, []
        if ":=" in words:
            at = words.index(":=")
            names, words = [word for word in words[:at] if word != ","], words[at + 1 :]
        items = self.evaluate(words)
        if not isinstance(items, Sequence) or isinstance(items, str):
            raise GoTemplateError("range needs a list")
        for number, item in enumerate(items):
            inner = _Scope(item, self.root, dict(self.variables))
            given = (item,) if len(names) == 1 else (number, item)
            inner.variables |= dict(zip(names, given, strict=False))
            inner.run(node.body, out)
        if not items:
            self.run(node.otherwise, out)

    def evaluate(self, words: Words) -> Value:
        """Return the value of an expression, which must use all of its words."""
        value, rest = self._call(words)
        if rest:
            raise GoTemplateError(f"unexpected {rest[0]}")
        return value

    def _call(self, words: Words) -> tuple[Value, Words]:
        """Return the value of a call or of an operand, up to `)` or the end."""
        if words and words[0] in FUNCTIONS:
            arguments: list[Value] = []
            rest = words[1:]
            while rest and rest[0] != ")":
                value, rest = self._operand(rest)
                arguments.append(value)
            return FUNCTIONS[words[0]](arguments), rest
        return self._operand(words)

    def _operand(self, words: Words) -> tuple[Value, Words]:
        if not words:
            raise GoTemplateError("an expression is empty")
        word, rest = words[0], words[1:]
        if word == "(":
            value, rest = self._call(rest)
            if not rest or rest[0] != ")":
                raise GoTemplateError("a parenthesis is not closed")
            return value, rest[1:]
        if word.startswith('"'):
            return re.sub(r"\\(.)", lambda m: ESCAPES.get(m[1], m[0]), word[1:-1]), rest
        if word.isdigit():
            return int(word), rest
        if word in {"true", "false"}:
            return word == "true", rest
        return self._look_up(word), rest

    def _look_up(self, word: str) -> Value:
        name, _, path = word.partition(".")
        if name == "":
            value = self.dot
        elif name == "$":
            value = self.root
        elif name in self.variables:
            value = self.variables[name]
        else:
            raise GoTemplateError(f"unknown name {word}")
        for key in filter(None, path.split(".")):
            if not isinstance(value, Mapping) or key not in value:
                raise GoTemplateError(f"unknown field {word}")
            value = value[key]
        return value


def _length(arguments: Sequence[Value]) -> int:
    (value,) = arguments
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, Sequence | Mapping):
        return len(value)
    raise GoTemplateError("len needs a text or a list")


def _slice(arguments: Sequence[Value]) -> Value:
    value, *bounds = arguments
    if not isinstance(value, Sequence) or not all(isinstance(bound, int) for bound in bounds):
        raise GoTemplateError("slice needs a list and numbers")
    return value[slice(*[int(str(bound)) for bound in bounds], *([None] * (2 - len(bounds))))]


def _last_of(arguments: Sequence[Value], *, stops_at: bool) -> Value:
    """Return the first argument that decides `and` (false) or `or` (true), else the last one."""
    return next((each for each in arguments if _is_true(each) == stops_at), arguments[-1])


FUNCTIONS = {
    "eq": lambda arguments: any(arguments[0] == each for each in arguments[1:]),
    "ne": lambda arguments: arguments[0] != arguments[1],
    "and": lambda arguments: _last_of(arguments, stops_at=False),
    "or": lambda arguments: _last_of(arguments, stops_at=True),
    "not": lambda arguments: not _is_true(arguments[0]),
    "len": _length,
    "slice": _slice,
}


def _is_true(value: Value) -> bool:
    return bool(value)


def _printed(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
