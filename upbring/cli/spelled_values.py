"""Values as other tools spell them on a command line: `--bf16 false`, `--lora-target a b`."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from upbring.errors import InputError
from upbring.settings.alias_table import VALUE_NAMES
from upbring.settings.aliases import Alias, find_alias, render_names
from upbring.settings.answered_names import Advice
from upbring.settings.resolve import CallStyle
from upbring.settings.schema import SettingSpec

ON_VALUES = frozenset({"true", "yes", "on"})
OFF_VALUES = frozenset({"false", "no", "off", "none"})
FLAG_STYLE = CallStyle("flag", "")


def spell_values(args: list[str], specs: Mapping[str, SettingSpec]) -> Iterator[str]:
    """Yield the arguments with values moved into their flags: `--bf16 false` as `--no-bf16`.

    >>> from upbring.settings.methods.sft import SftSettings
    >>> from upbring.settings.schema import setting_specs
    >>> list(spell_values(["--dora", "True", "--bf16=false", "a"], setting_specs(SftSettings)))
    ['--dora', '--no-bf16', 'a']
    >>> list(spell_values(["--lora-target", "q_proj", "v_proj"], setting_specs(SftSettings)))
    ['--lora-target=q_proj,v_proj']
    """
    rest = list(args)
    while rest:
        word = rest.pop(0)
        flag, equals, value = word.partition("=")
        name = flag.removeprefix("--").replace("-", "_")
        alias = None if name in specs else find_alias(name, specs)
        setting = alias.setting if alias is not None and not alias.answer else name
        if not word.startswith("--"):
            yield word
        elif setting == "target_modules" and not equals:
            modules = [*_take_modules(rest)]
            yield f"{flag}={','.join(modules)}" if modules else word
        elif _is_switch(alias, specs.get(setting)):
            names = VALUE_NAMES.get(setting, {})  # such as `group` of scale_rewards
            if not equals and rest and (rest[0] in names or _is_switch_value(rest[0], alias)):
                value = rest.pop(0)
            yield _spell_switch(flag, names.get(value, value), alias) or word
        else:
            yield word


def is_switch_alias(alias: Alias, spec: SettingSpec) -> bool:
    """Whether an alias is on or off on a command line, without a value."""
    return alias.is_switch or (spec.value_type == "switch" and not alias.answer)


def _is_switch(alias: Alias | None, spec: SettingSpec | None) -> bool:
    if spec is None:
        return False
    return spec.value_type == "switch" if alias is None else is_switch_alias(alias, spec)


def _spell_switch(flag: str, value: str, alias: Alias | None) -> str | None:
    """Return a switch that is on or off, or None for a value that is neither."""
    value = value.lower()
    if value in OFF_VALUES:
        return f"--no-{flag.removeprefix('--').replace('_', '-')}"
    if value in {"", *ON_VALUES}:
        return flag
    answer = alias.values.get("") if alias is not None else None
    if isinstance(answer, Advice):
        raise InputError(f"{flag} {value}: {render_names(answer, FLAG_STYLE.show)}")
    return None


def _is_switch_value(word: str, alias: Alias | None) -> bool:
    """Whether the word after a switch is its value: a known one, or one that has an answer."""
    is_answered = alias is not None and "" in alias.values
    is_word = re.fullmatch(r"\w+", word) is not None and not Path(word).exists()
    return word.lower() in ON_VALUES | OFF_VALUES or (is_answered and is_word)


def _take_modules(rest: list[str]) -> Iterator[str]:
    """Remove and yield the values of a flag that takes several, as in TRL: no flags, no files."""
    while rest and re.fullmatch(r"\w[\w,-]*", rest[0]) and not Path(rest[0]).exists():
        yield rest.pop(0)
