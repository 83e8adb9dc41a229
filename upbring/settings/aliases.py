"""Names from other tools for settings: what a flag, a YAML key or a call means by one.

An alias counts only for commands that have the setting, and no setting of the alias's own name. The
names themselves are in `alias_table`.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from upbring.errors import nearest
from upbring.settings.alias_table import CONVERTED, RENAMED
from upbring.settings.answered_names import ANSWERED, Advice

SETTING_IN_ANSWER = re.compile(r"\{(\w+)(?:=([^}]+))?\}")
MIN_WORD_LENGTH = 4  # letters of a word that two similar names may share
GENERIC_WORDS = frozenset(
    {
        *("batch", "coef", "config", "data", "dataset", "epochs", "eval", "file", "format"),
        *("length", "loss", "mode", "model", "name", "number", "path", "range", "rate", "seed"),
        *("size", "step", "steps", "token", "tokens", "train", "type", "value", "weight"),
        *("init", "limit", "sample", "save", "total", "weights"),
    }
)


@dataclass(frozen=True)
class Alias:
    """Another tool's name for a setting.

    `values` are spellings of values, to ours: None sets nothing, and the key "" is any other value.
    Without an entry a value stays as it is. With an `answer` the name sets nothing.
    """

    setting: str
    values: Mapping[str, str | Advice | None] = field(default_factory=dict)
    answer: str = ""
    is_run_folder: bool = False  # the value is `runs` and `name` in one path

    @property
    def is_switch(self) -> bool:
        """Whether it takes true or false."""
        return "true" in self.values

    @property
    def sets_something(self) -> bool:
        """Whether some value of it sets a setting; else it is answered, or needs nothing here."""
        is_open = "" not in self.values and not self.is_switch
        known = [each for each in self.values.values() if each and not isinstance(each, Advice)]
        return not self.answer and (is_open or bool(known))

    def convert(self, text: str) -> dict[str, str]:
        """Return values by setting, or raise a ValueError with the answer."""
        if self.is_run_folder:
            return _split_run_folder(text)
        value = self.values.get(text.lower(), self.values.get("", text))
        if isinstance(value, Advice):
            raise ValueError(value)  # noqa: TRY004 -- the user's value has no meaning here
        return {} if value is None else {self.setting: value}


def find_alias(name: str, settings: Iterable[str]) -> Alias | None:
    """Return what `name` means to a command with these settings; None if nothing."""
    return aliases_of(settings).get(name.replace("-", "_"))


def aliases_of(settings: Iterable[str]) -> Mapping[str, Alias]:
    """Return each alias of a command with these settings, and what it means."""
    return _aliases_of(frozenset(settings))


def working_aliases(settings: Iterable[str]) -> list[str]:
    """Return the aliases that set something, for a command with these settings."""
    return [name for name, alias in aliases_of(settings).items() if alias.sets_something]


def render_names(text: str, show: Callable[..., str]) -> str:
    """Return an answer with its settings as `show` writes them; it takes a name, and a value.

    >>> render_names("use {dtype=bfloat16} or {steps}", lambda *parts: ":".join(parts))
    'use dtype:bfloat16 or steps'
    """
    return SETTING_IN_ANSWER.sub(lambda match: show(*filter(None, match.groups())), text)


def nearest_setting(name: str, settings: Iterable[str]) -> str | None:
    """Return what `name` probably means, or None.

    A setting that is spelled alike, one with a word in common, or an alias that is spelled alike.

    >>> nearest_setting("learning_rat", ["learning_rate", "steps"])
    'learning_rate'
    >>> nearest_setting("warmup_fraction", ["warmup", "max_grad_norm"])
    'warmup'
    >>> nearest_setting("max_step", ["steps", "max_grad_norm"])
    'max_steps'
    >>> nearest_setting("max_shard_size", ["max_length", "batch_size"]) is None
    True
    """
    known = list(settings)
    if suggestion := nearest(name, known):
        return suggestion
    words = {word for word in name.split("_") if len(word) >= MIN_WORD_LENGTH} - GENERIC_WORDS
    related = {
        difflib.SequenceMatcher(None, name, each).ratio(): each
        for each in known
        if words & set(each.split("_"))
    }
    return related[max(related)] if related else nearest(name, working_aliases(known))


def _split_run_folder(text: str) -> dict[str, str]:
    """Return the settings that write a run to a folder.

    >>> _split_run_folder("out/assistant"), _split_run_folder("assistant")
    ({'runs': 'out', 'name': 'assistant'}, {'runs': '.', 'name': 'assistant'})
    """
    folder, _, name = text.rstrip("/").rpartition("/")
    return {"runs": folder or ("/" if text.startswith("/") else "."), "name": name}


@cache
def _aliases_of(settings: frozenset[str]) -> Mapping[str, Alias]:
    found: dict[str, Alias] = {}
    for name, meanings in aliases().items():
        for alias in meanings:
            if alias.setting in settings:
                found.setdefault(name, alias)
    return found


@cache
def aliases() -> Mapping[str, Sequence[Alias]]:
    """Return the meanings of each name; what sets something comes before an answer."""
    found: dict[str, list[Alias]] = {}
    entries = [
        *((names, Alias(setting)) for setting, names in RENAMED.items()),
        ("output_dir save_path output out", Alias("runs", is_run_folder=True)),
        *((names, Alias(setting, values)) for setting, names, values in CONVERTED),
        *((each.names, Alias(each.setting, answer=each.answer)) for each in ANSWERED),
    ]
    for names, alias in entries:
        for name in names.split():
            found.setdefault(name, []).append(alias)
    return found
