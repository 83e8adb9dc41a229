"""The parameters of a public function, from the settings of its command.

The signature and the docstring that Python shows at run time, and the stub that type checkers read,
are made from the same parameters.
"""

import inspect
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from upbring.api.arguments import DATA_SETTINGS, MODEL_SETTINGS
from upbring.api.messages import to_python
from upbring.settings.schema import Settings, SettingSpec, setting_specs

LINE_WIDTH = 96  # of a docstring without its indentation
BASE_TYPES = {
    "text": "str",
    "integer": "int",
    "number": "float",
    "switch": "bool",
    "path": "str | PathLike[str]",
}


NAMED_TYPES = {
    "mix": "Mixture",
    "reward_model": "WeightedModels",
    "reward_function": "WeightedNames",
}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a public function."""

    name: str
    annotation: str
    default: object
    has_default: bool
    help: str


@dataclass(frozen=True)
class PublicFunction:
    """A public function that takes the settings of a command."""

    name: str
    command: str
    summary: str
    description: str
    positional: tuple[str, ...]  # parameters that may be given without their names, in order
    parameters: tuple[Parameter, ...]
    returns: str
    implementation: str  # "module:function"

    @property
    def ordered(self) -> tuple[Parameter, ...]:
        """The parameters, the positional ones first."""
        by_name = {each.name: each for each in self.parameters}
        rest = [each for each in self.parameters if each.name not in self.positional]
        return (*(by_name[name] for name in self.positional), *rest)


def setting_parameters(settings_class: type[Settings]) -> tuple[Parameter, ...]:
    """Return a parameter for each setting."""
    return tuple(map(_parameter, setting_specs(settings_class).values()))


def runtime_signature(function: PublicFunction) -> inspect.Signature:
    """Return the signature that `help` shows."""
    return inspect.Signature(
        [
            inspect.Parameter(
                each.name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD
                if each.name in function.positional
                else inspect.Parameter.KEYWORD_ONLY,
                default=each.default if each.has_default else inspect.Parameter.empty,
                annotation=each.annotation,
            )
            for each in function.ordered
        ],
        return_annotation=function.returns,
    )


def docstring(function: PublicFunction) -> str:
    """Return the summary, the description and a line or more per parameter."""
    lines = [function.summary]
    if function.description:
        lines += ["", *_wrap(function.description)]
    lines += ["", "Args:"]
    for each in function.ordered:
        lines += _wrap(f"{each.name}: {each.help}", indent="    ")
    return "\n".join(lines)


def stub_lines(function: PublicFunction) -> Iterator[str]:
    """Yield the lines of the function in a stub."""
    yield f"def {function.name}("
    for number, each in enumerate(function.ordered):
        if number == len(function.positional):
            yield "    *,"
        default = f" = {each.default!r}" if each.has_default else ""
        yield f"    {each.name}: {each.annotation}{default},"
    yield f") -> {function.returns}:"
    first, *rest = docstring(function).splitlines()
    yield f'    r"""{first}'
    yield from (f"    {line}".rstrip() for line in rest)
    yield '    """'


def _parameter(spec: SettingSpec) -> Parameter:
    return Parameter(
        spec.name,
        _annotation(spec),
        _default(spec),
        not spec.is_required,
        _help(spec),
    )


def _annotation(spec: SettingSpec) -> str:
    """Return the type of an argument."""
    annotation = NAMED_TYPES.get(spec.name, "")
    if spec.name in DATA_SETTINGS and spec.value_type == "path":
        annotation = "Data"
    elif not annotation and spec.name in MODEL_SETTINGS:
        annotation = "ModelLike | Sequence[ModelLike]" if spec.is_list else "ModelLike"
    elif not annotation:
        is_choice = spec.value_type == "choice"
        choices = f"Literal[{', '.join(map(repr, spec.choices))}]"
        annotation = choices if is_choice else BASE_TYPES[spec.value_type]
        annotation += f" | Sequence[{annotation}]" if spec.is_list else ""
    return annotation + (" | None" if spec.is_optional else "")


def _default(spec: SettingSpec) -> object:
    """Return the default as a literal of Python."""
    return str(spec.default) if isinstance(spec.default, Path) else spec.default


def _help(spec: SettingSpec) -> str:
    """Return the help text, with the range of a number."""
    has_range = spec.range_text and spec.value_type in {"integer", "number"}
    text = to_python(spec.help)
    return f"{text} ({spec.range_text})" if has_range else text


def _wrap(text: str, *, indent: str = "") -> Sequence[str]:
    return textwrap.wrap(
        text,
        LINE_WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + ("    " if indent else ""),
        break_long_words=False,
        break_on_hyphens=False,
    )
