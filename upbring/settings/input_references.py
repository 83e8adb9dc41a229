"""References: the settings whose values are a stage of a recipe or an input file."""

from collections.abc import Iterator

from upbring.settings.schema import Settings, setting_specs

# settings whose value may be the name of a stage
STAGE_SETTINGS = frozenset({"model", "models", "reward_model", "judge", "mix"})
WEIGHTED_SETTINGS = frozenset({"mix", "reward_model"})  # those with values NAME=WEIGHT
# those whose values may be FILE.py:FUNCTION, also with a weight
FUNCTION_SETTINGS = frozenset({"reward_function", "metric_function"})
_FUNCTION = ".py:"


def input_references(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the name and value of each setting that refers to a stage or an existing file."""
    for name, setting in setting_specs(type(settings)).items():
        if name in {"to", "runs", "skip_bad"} or not (
            setting.value_type == "path" or name in STAGE_SETTINGS | FUNCTION_SETTINGS
        ):
            continue
        value = getattr(settings, name)
        values = value if isinstance(value, tuple) else (value,)
        for item in values:
            is_name = name in FUNCTION_SETTINGS and _FUNCTION not in str(item)  # of a rule
            if item is not None and not is_name:
                yield name, split_weight(name, str(item))[0]


def split_weight(name: str, value: str) -> tuple[str, str]:
    """Return a value without its weight, and the weight with its sign; of a function, the file.

    >>> split_weight("mix", "world/general.jsonl=0.2")
    ('world/general.jsonl', '=0.2')
    >>> split_weight("model", "sft")
    ('sft', '')
    >>> split_weight("reward_function", "rewards.py:correct=0.5")
    ('rewards.py', ':correct=0.5')
    >>> split_weight("judge", "rules.py:brief")
    ('rules.py', ':brief')
    """
    if name in FUNCTION_SETTINGS or (name == "judge" and _FUNCTION in value):
        head, separator, function = value.rpartition(_FUNCTION)
        return (head + ".py", ":" + function) if separator else (value, "")
    name_part, separator, weight = value.rpartition("=")
    return (
        (name_part, separator + weight) if name in WEIGHTED_SETTINGS and separator else (value, "")
    )
