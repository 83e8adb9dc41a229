"""The sandbox in which a chat template runs: an immutable jinja2 environment with bounds.

A template comes with a model and is not trusted. jinja2's sandbox keeps it from the machine; what
is added here keeps it from using the machine up. Every loop turn, call, filter, operator and output
reports to a `Budget` of the rendering in progress, which stops it when too much is made or too much
computing time is used. What could grow in one operation (`'a' * 10**9`, `'a' | center(10**9)`) is
refused before it happens (`template_budget.py`). No signal, thread or process is needed for that.

Left out: whatever a chat template has no need of, such as filters for HTML, chance, and importing.
`template.py` alone uses this module.
"""

import datetime as dt
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.compiler import CodeGenerator
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedFormatter
from jinja2.visitor import NodeTransformer

from upbring.data.chat import template_budget
from upbring.data.chat.template_budget import Budget

BUDGET = "budget!"  # no template can spell these names
OPENS, CLOSES = "opens!", "closes!"
_STEP, _MADE, _JOINED, _MARK = "step!", "made!", "joined!", "mark!"

_UNNEEDED = ("lipsum", "pprint", "random", "striptags", "urlize", "wordwrap", "xmlattr")
_METHODS: Mapping[type, frozenset[str]] = {
    str: frozenset(
        {
            "capitalize",
            "casefold",
            "center",
            "count",
            "endswith",
            "find",
            "format",
            "index",
            "isalnum",
            "isalpha",
            "isascii",
            "isdecimal",
            "isdigit",
            "islower",
            "isnumeric",
            "isprintable",
            "isspace",
            "istitle",
            "isupper",
            "join",
            "ljust",
            "lower",
            "lstrip",
            "partition",
            "removeprefix",
            "removesuffix",
            "replace",
            "rfind",
            "rindex",
            "rjust",
            "rpartition",
            "rsplit",
            "rstrip",
            "split",
            "splitlines",
            "startswith",
            "strip",
            "swapcase",
            "title",
            "upper",
            "zfill",
        }
    ),
    dict: frozenset({"copy", "get", "items", "keys", "values"}),
    list: frozenset({"copy", "count", "index"}),
    tuple: frozenset({"count", "index"}),
    bytes: frozenset(),
    int: frozenset(),
    float: frozenset({"is_integer"}),
}


class Sandbox(ImmutableSandboxedEnvironment):
    """jinja2 as chat templates expect it, which is as transformers sets it up, with bounds."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, today: dt.datetime) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.loopcontrols", Generation],
            finalize=_finalize,
        )
        for name in _UNNEEDED:
            self.filters.pop(name, None)
            self.globals.pop(name, None)
        self.filters["tojson"] = _tojson
        self.filters = {name: _bounded(name, made) for name, made in self.filters.items()}
        self.filters |= {_STEP: _step, _MADE: _made, _JOINED: _joined, _MARK: _mark}
        tests: dict[str, Any] = self.tests
        self.tests = {name: _stepping(test) for name, test in tests.items()}
        self.globals["raise_exception"] = _raise_exception
        self.globals["strftime_now"] = _clock(today)
        self.globals["dict"] = _dictionary

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401 -- a template's values are of any kind
        """Apply an operator whose result may be large, if it will not be."""
        budget: Budget = context[BUDGET]
        budget.step()
        template_budget.check_operator(operator, left, right=right, longest=budget.longest)
        result = super().call_binop(context, operator, left, right)
        budget.charge(result)
        return result

    def call(self, context: Context, function: Any, /, *args: Any, **named: Any) -> Any:  # noqa: ANN401 -- as above
        """Call a function, method or macro for the template, if its result will be bounded."""
        budget: Budget = context[BUDGET]
        budget.step()
        owner = getattr(function, "__self__", None)
        if isinstance(owner, str):
            args = tuple(_settled(arg) for arg in args)
            name = function.__name__
            template_budget.check_text(
                name, owner, given=(*args, *named.values()), longest=budget.longest
            )
        result = super().call(context, function, *args, **named)
        if not isinstance(function, Macro):  # whose text was charged as it was written
            budget.charge(result)
        return result

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:  # noqa: ANN401 -- as above
        """Return whether the template may use the attribute: of plain values, a few methods."""
        for kind, allowed in _METHODS.items():
            if isinstance(obj, kind):
                return attr in allowed
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:  # noqa: ANN401 -- as above
        """Return a bounded `str.format` in the place of the built-in one."""
        text = getattr(value, "__self__", None)
        if not isinstance(text, str) or getattr(value, "__name__", "") != "format":
            return None
        formatter = _Formatter(self)

        def format(*args: object, **named: object) -> str:  # noqa: A001 -- the template's word for it
            return formatter.vformat(str(text), args, named)

        return format


class _Formatter(SandboxedFormatter):
    """`str.format` that stops when its pieces grow too long."""

    def __init__(self, env: jinja2.Environment) -> None:
        super().__init__(env)
        self._left = template_budget.LONGEST

    def format_field(self, value: Any, format_spec: str) -> Any:  # noqa: ANN401 -- as the library has it
        """Return one formatted field."""
        template_budget.check_width(format_spec)
        field = super().format_field(value, format_spec)
        self._left -= len(field)
        if self._left < 0:
            raise template_budget.TooMuchError(
                f"it formatted a text of more than {template_budget.LONGEST:,} characters"
            )
        return field


class Generation(Extension):
    """`{% generation %}`: renders its body between two marks, which tell where the span lies."""

    tags = {"generation"}  # noqa: RUF012 -- as the library declares it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Return the body between two marks."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        opens, closes = (
            nodes.Output([_filtered(nodes.Const(name), _MARK)]) for name in (OPENS, CLOSES)
        )
        return [node.set_lineno(line) for node in (opens, nodes.Scope(body), closes)]


class _Guard(NodeTransformer):
    """Rewrites a parsed template so that its loops and what it builds report to the budget."""

    def generic_visit(self, node: nodes.Node, *args: object, **named: object) -> nodes.Node:
        """Return the node, guarded, with all below it guarded."""
        node = super().generic_visit(node, *args, **named)
        if isinstance(node, (nodes.For, nodes.Macro, nodes.CallBlock, nodes.Block)):
            size = sum(len(part.data) for part in node.find_all(nodes.TemplateData))
            step = nodes.ExprStmt(_filtered(nodes.Const(size), _STEP))
            node.body = [step.set_lineno(node.lineno), *node.body]
        elif isinstance(node, nodes.Concat):
            return _filtered(nodes.List(node.nodes), _JOINED)
        elif isinstance(node, nodes.Expr) and _builds(node):
            return _filtered(node, _MADE)
        return node


def _filtered(node: nodes.Expr, name: str) -> nodes.Expr:
    """Return `node | name`."""
    return nodes.Filter(node, name, [], [], None, None)


def _builds(node: nodes.Expr) -> bool:
    """Return whether the expression makes a new list, tuple or mapping of values."""
    if isinstance(node, nodes.Getitem):
        return isinstance(node.arg, nodes.Slice)
    is_container = isinstance(node, (nodes.List, nodes.Tuple, nodes.Dict))
    return is_container and getattr(node, "ctx", "load") == "load" and bool(node.find(nodes.Name))


class _Generator(CodeGenerator):
    """Writes the code of a guarded template."""

    def visit_Template(self, node: nodes.Template, frame: Any = None) -> None:  # noqa: ANN401, N802 -- the library's signature
        guarded = _Guard().visit(node)
        guarded.set_environment(self.environment)
        guarded.set_lineno(1)
        super().visit_Template(guarded, frame)


Sandbox.code_generator_class = _Generator


@jinja2.pass_context
def _finalize(context: Context, value: object) -> object:
    """Charge what the template writes out."""
    budget: Budget = context[BUDGET]
    budget.charge(value)
    return value


@jinja2.pass_context
def _step(context: Context, size: int) -> None:
    """Count one turn of a loop, or one call of a macro, with the literal text that it writes."""
    budget: Budget = context[BUDGET]
    budget.step()
    budget.charge_characters(size)


@jinja2.pass_context
def _made(context: Context, value: object) -> object:
    """Charge a list, tuple, mapping or slice that the template built."""
    context[BUDGET].charge(value)
    return value


@jinja2.pass_context
def _joined(context: Context, values: Sequence[object]) -> str:
    """Return `a ~ b`, charged."""
    context[BUDGET].charge(values)
    text = "".join(map(str, values))
    context[BUDGET].charge(text)
    return text


@jinja2.pass_context
def _mark(context: Context, name: str) -> object:
    """Return the mark of that name."""
    return context[name]


def _settled(value: object) -> object:
    """Return a list in the place of an iterator, so that it can be looked at and then used."""
    return list(value) if hasattr(value, "__next__") and isinstance(value, Iterable) else value


def _bounded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the filter with a check before it and a charge after it."""
    receives = getattr(function, "jinja_pass_arg", None)

    @jinja2.pass_context
    def bounded(context: Context, value: object = None, *args: object, **named: object) -> object:
        budget: Budget = context[BUDGET]
        budget.step()
        if name in template_budget.CHECKED:
            value = _settled(value)
            budget.charge(value)
            given = (*args, *named.values())
            template_budget.check_filter(name, value, given=given, longest=budget.longest)
        first = {
            None: (),
            "context": (context,),
            "eval_context": (context.eval_ctx,),
            "environment": (context.environment,),
        }[receives.name if receives else None]
        result = function(*first, value, *args, **named)
        budget.charge(result)
        return result

    return bounded


def _stepping(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the test with a step before it."""
    receives = getattr(function, "jinja_pass_arg", None)

    @jinja2.pass_context
    def stepping(context: Context, *args: object) -> object:
        context[BUDGET].step()
        first = (context.environment,) if receives else ()
        return function(*first, *args)

    return stepping


def _tojson(
    value: object,
    ensure_ascii: bool = False,  # noqa: FBT001, FBT002 -- the order is that of templates in the field
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,  # noqa: FBT001, FBT002 -- as above
) -> str:
    """Return `value` as JSON, without jinja2's escapes for HTML, as transformers does."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _raise_exception(message: object) -> NoReturn:
    """Refuse the dialogue: the template's own word against it."""
    raise jinja2.TemplateError(str(message)[:500])


def _dictionary(*args: Any, **named: Any) -> dict[Any, Any]:  # noqa: ANN401 -- as dict has it
    """Return a new dict, without handing out the class itself."""
    return dict(*args, **named)


def _clock(today: dt.datetime) -> Callable[[str], str]:
    """Return `strftime_now`, which tells one fixed time so that a run renders the same twice."""

    def strftime_now(pattern: str) -> str:
        template_budget.check_width(pattern)
        return today.strftime(pattern[:200])

    return strftime_now
