"""References: the settings whose values are a stage of a recipe or an input file."""

from collections.abc import Iterator

from upbring.settings.schema import Settings, setting_specs

# settings whose value may be the name of a stage
STAGE_SETTINGS = frozenset({"model", "models", "reward_model", "judge", "mix"})
WEIGHTED_SETTINGS = frozenset({"mix", "reward_model"})  # those with values NAME=WEIGHT


def input_references(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the name and value of each setting that refers to a stage or an existing file."""
    for name, setting in setting_specs(type(settings)).items():
        if name in {"to", "runs", "skip_bad"} or not (
            setting.value_type == "path" or name in STAGE_SETTINGS
        ):
            continue
        value = getattr(settings, name)
        values = value if isinstance(value, tuple) else (value,)
        for item in values:
            if item is not None:
                yield name, split_weight(name, str(item))[0]


def split_weight(name: str, value: str) -> tuple[str, str]:
    """Return a value without its weight, and the weight with its sign.

    >>> split_weight("mix", "world/general.jsonl=0.2")
    ('world/general.jsonl', '=0.2')
    >>> split_weight("model", "sft")
    ('sft', '')
    """
    name_part, separator, weight = value.rpartition("=")
    return (
        (name_part, separator + weight) if name in WEIGHTED_SETTINGS and separator else (value, "")
    )
