"""Which settings may name a stage of a recipe or a file, and what they name."""

from collections.abc import Iterator

from upbring.settings.schema import Settings, declared

NAMES = frozenset({"model", "models", "reward", "judge", "mix"})  # settings that may name a stage
WEIGHED = frozenset({"mix", "reward"})  # of those, the ones written NAME=WEIGHT


def references(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the settings that may name a stage or a file that must be there, and their values."""
    for name, setting in declared(type(settings)).items():
        if name in {"to", "runs", "skip_bad"} or not (setting.shape == "path" or name in NAMES):
            continue
        value = getattr(settings, name)
        values = value if isinstance(value, tuple) else (value,)
        for each in values:
            if each is not None:
                yield name, unweighed(name, str(each))[0]


def unweighed(name: str, value: str) -> tuple[str, str]:
    """Return a value without its weight, and the weight with its sign.

    >>> unweighed("mix", "world/general.jsonl=0.2")
    ('world/general.jsonl', '=0.2')
    >>> unweighed("model", "sft")
    ('sft', '')
    """
    stem, sign, weight = value.rpartition("=")
    return (stem, sign + weight) if name in WEIGHED and sign else (value, "")
