"""The sandbox of a chat template: an immutable jinja2 environment with resource limits.

A template comes with a model and is not trusted. jinja2's sandbox protects the machine from its
code; this module limits the time and memory it can use. Every loop iteration, call, filter,
operator and output is charged to the `RenderBudget` of the current rendering, which raises when the
output or the CPU time is too large. An operation that could grow in one step (`'a' * 10**9`,
`'a' | center(10**9)`) is rejected before it runs (`template_budget.py`). No signal, thread or
process is needed.

Left out: everything that chat templates do not need, such as HTML filters, random numbers and
imports. Only `template.py` uses this module.
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
from upbring.data.chat.template_budget import RenderBudget

# The "!" makes these names inaccessible to templates.
BUDGET_VARIABLE = "budget!"
OPEN_MARK, CLOSE_MARK = "opens!", "closes!"
_STEP_FILTER, _CHARGE_FILTER, _CONCAT_FILTER, _MARK_FILTER = "step!", "made!", "joined!", "mark!"

_REMOVED_NAMES = ("lipsum", "pprint", "random", "striptags", "urlize", "wordwrap", "xmlattr")
_ALLOWED_METHODS: Mapping[type, frozenset[str]] = {
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
    """jinja2 configured as in transformers, with resource limits."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, today: dt.datetime) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.loopcontrols", GenerationExtension],
            finalize=_charge_output,
        )
        for name in _REMOVED_NAMES:
            self.filters.pop(name, None)
            self.globals.pop(name, None)
        self.filters["tojson"] = _tojson
        self.filters = {
            name: _bound_filter(name, function) for name, function in self.filters.items()
        }
        self.filters |= {
            _STEP_FILTER: _charge_step,
            _CHARGE_FILTER: _charge_container,
            _CONCAT_FILTER: _concatenate,
            _MARK_FILTER: _mark_variable,
        }
        tests: dict[str, Any] = self.tests
        self.tests = {name: _count_test_calls(test) for name, test in tests.items()}
        self.globals["raise_exception"] = _raise_exception
        self.globals["strftime_now"] = _make_strftime_now(today)
        self.globals["dict"] = _make_dict

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401 -- a template's values have any type
        """Apply an operator; raise if its result would be too large."""
        budget: RenderBudget = context[BUDGET_VARIABLE]
        budget.step()
        template_budget.check_operator(operator, left, right=right, limit=budget.max_characters)
        result = super().call_binop(context, operator, left, right)
        budget.charge(result)
        return result

    def call(self, context: Context, function: Any, /, *args: Any, **named: Any) -> Any:  # noqa: ANN401 -- as above
        """Call a function, method or macro; raise if its result would be too large."""
        budget: RenderBudget = context[BUDGET_VARIABLE]
        budget.step()
        owner = getattr(function, "__self__", None)
        if isinstance(owner, str):
            args = tuple(_materialize(arg) for arg in args)
            name = function.__name__
            template_budget.check_text_method(
                name, owner, arguments=(*args, *named.values()), limit=budget.max_characters
            )
        result = super().call(context, function, *args, **named)
        if not isinstance(function, Macro):  # a macro's text is charged when it is written
            budget.charge(result)
        return result

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:  # noqa: ANN401 -- as above
        """Return whether the template may use the attribute; plain values allow few methods."""
        for kind, allowed in _ALLOWED_METHODS.items():
            if isinstance(obj, kind):
                return attr in allowed
        return super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:  # noqa: ANN401 -- as above
        """Return a `str.format` with a length limit, or None for any other method."""
        text = getattr(value, "__self__", None)
        if not isinstance(text, str) or getattr(value, "__name__", "") != "format":
            return None
        formatter = _BoundedFormatter(self)

        def format(*args: object, **named: object) -> str:  # noqa: A001 -- the name in templates
            return formatter.vformat(str(text), args, named)

        return format


class _BoundedFormatter(SandboxedFormatter):
    """`str.format` that raises when its fields are too long."""

    def __init__(self, env: jinja2.Environment) -> None:
        super().__init__(env)
        self._characters_left = template_budget.BASE_MAX_CHARACTERS

    def format_field(self, value: Any, format_spec: str) -> Any:  # noqa: ANN401 -- the library's signature
        """Return one formatted field."""
        template_budget.check_width(format_spec)
        field = super().format_field(value, format_spec)
        self._characters_left -= len(field)
        if self._characters_left < 0:
            raise template_budget.BudgetExceededError(
                "it formatted a text of more than "
                f"{template_budget.BASE_MAX_CHARACTERS:,} characters"
            )
        return field


class GenerationExtension(Extension):
    """`{% generation %}`: renders its body between two marks, from which the span is read."""

    tags = {"generation"}  # noqa: RUF012 -- the library's declaration

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Return the body between two marks."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        open_node, close_node = (
            nodes.Output([_apply_filter(nodes.Const(name), _MARK_FILTER)])
            for name in (OPEN_MARK, CLOSE_MARK)
        )
        return [node.set_lineno(line) for node in (open_node, nodes.Scope(body), close_node)]


class _BudgetTransformer(NodeTransformer):
    """Adds budget charges to the loops and containers of a parsed template."""

    def generic_visit(self, node: nodes.Node, *args: object, **named: object) -> nodes.Node:
        """Return the node with charges added to it and to its children."""
        node = super().generic_visit(node, *args, **named)
        if isinstance(node, (nodes.For, nodes.Macro, nodes.CallBlock, nodes.Block)):
            size = sum(len(part.data) for part in node.find_all(nodes.TemplateData))
            step = nodes.ExprStmt(_apply_filter(nodes.Const(size), _STEP_FILTER))
            node.body = [step.set_lineno(node.lineno), *node.body]
        elif isinstance(node, nodes.Concat):
            return _apply_filter(nodes.List(node.nodes), _CONCAT_FILTER)
        elif isinstance(node, nodes.Expr) and _builds_container(node):
            return _apply_filter(node, _CHARGE_FILTER)
        return node


def _apply_filter(node: nodes.Expr, name: str) -> nodes.Expr:
    """Return `node | name`."""
    return nodes.Filter(node, name, [], [], None, None)


def _builds_container(node: nodes.Expr) -> bool:
    """Return whether the expression builds a new list, tuple or mapping from values."""
    if isinstance(node, nodes.Getitem):
        return isinstance(node.arg, nodes.Slice)
    is_container = isinstance(node, (nodes.List, nodes.Tuple, nodes.Dict))
    return is_container and getattr(node, "ctx", "load") == "load" and bool(node.find(nodes.Name))


class _BudgetCodeGenerator(CodeGenerator):
    """Generates the code of a template with budget charges."""

    def visit_Template(self, node: nodes.Template, frame: Any = None) -> None:  # noqa: ANN401, N802 -- the library's signature
        budgeted = _BudgetTransformer().visit(node)
        budgeted.set_environment(self.environment)
        budgeted.set_lineno(1)
        super().visit_Template(budgeted, frame)


Sandbox.code_generator_class = _BudgetCodeGenerator


@jinja2.pass_context
def _charge_output(context: Context, value: object) -> object:
    """Charge the template's output."""
    budget: RenderBudget = context[BUDGET_VARIABLE]
    budget.charge(value)
    return value


@jinja2.pass_context
def _charge_step(context: Context, size: int) -> None:
    """Count one loop iteration or macro call, with the literal text that it writes."""
    budget: RenderBudget = context[BUDGET_VARIABLE]
    budget.step()
    budget.charge_characters(size)


@jinja2.pass_context
def _charge_container(context: Context, value: object) -> object:
    """Charge a list, tuple, mapping or slice that the template built."""
    context[BUDGET_VARIABLE].charge(value)
    return value


@jinja2.pass_context
def _concatenate(context: Context, values: Sequence[object]) -> str:
    """Return `a ~ b`, charged."""
    context[BUDGET_VARIABLE].charge(values)
    text = "".join(map(str, values))
    context[BUDGET_VARIABLE].charge(text)
    return text


@jinja2.pass_context
def _mark_variable(context: Context, name: str) -> object:
    """Return the mark of that name."""
    return context[name]


def _materialize(value: object) -> object:
    """Return an iterator's items as a list, so that they can be inspected before use."""
    return list(value) if hasattr(value, "__next__") and isinstance(value, Iterable) else value


def _bound_filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the filter with a check before the call and a charge after it."""
    pass_arg = getattr(function, "jinja_pass_arg", None)

    @jinja2.pass_context
    def bounded(context: Context, value: object = None, *args: object, **named: object) -> object:
        budget: RenderBudget = context[BUDGET_VARIABLE]
        budget.step()
        if name in template_budget.CHECKED_FILTERS:
            value = _materialize(value)
            budget.charge(value)
            given = (*args, *named.values())
            template_budget.check_filter(name, value, arguments=given, limit=budget.max_characters)
        first = {
            None: (),
            "context": (context,),
            "eval_context": (context.eval_ctx,),
            "environment": (context.environment,),
        }[pass_arg.name if pass_arg else None]
        result = function(*first, value, *args, **named)
        budget.charge(result)
        return result

    return bounded


def _count_test_calls(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the test with a budget step before the call."""
    pass_arg = getattr(function, "jinja_pass_arg", None)

    @jinja2.pass_context
    def stepping(context: Context, *args: object) -> object:
        context[BUDGET_VARIABLE].step()
        first = (context.environment,) if pass_arg else ()
        return function(*first, *args)

    return stepping


def _tojson(
    value: object,
    ensure_ascii: bool = False,  # noqa: FBT001, FBT002 -- templates pass it by position
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,  # noqa: FBT001, FBT002 -- as above
) -> str:
    """Return `value` as JSON without jinja2's HTML escapes, as transformers does."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _raise_exception(message: object) -> NoReturn:
    """Reject the dialogue with the template's own message."""
    raise jinja2.TemplateError(str(message)[:500])


def _make_dict(*args: Any, **named: Any) -> dict[Any, Any]:  # noqa: ANN401 -- dict's signature
    """Return a new dict; templates do not get the class itself."""
    return dict(*args, **named)


def _make_strftime_now(today: dt.datetime) -> Callable[[str], str]:
    """Return `strftime_now` with a fixed time, so that a resumed run renders the same text."""

    def strftime_now(pattern: str) -> str:
        template_budget.check_width(pattern)
        return today.strftime(pattern[:200])

    return strftime_now
