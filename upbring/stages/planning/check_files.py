"""Check data files as `upbring check` does: with a model's tokenizer and template, or text only.

No weights are read, and torch is not imported.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from upbring.data.chat.encode_records import RecordEncoder
from upbring.data.chat.template_file import read_template_file
from upbring.data.chat.tokenizer_files import Tokenizer, load_tokenizer
from upbring.data.check.check import CheckResult, check_data
from upbring.errors import InputError
from upbring.model.gguf.locate_model import locate_model
from upbring.runs.json_object import read_json_object
from upbring.runs.model_limits import ModelLimits, find_limits
from upbring.settings.commands.check import CheckSettings
from upbring.settings.data import DataSettings

Log = Callable[[str], None]
_TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "tokenizer.model", "vocab.txt", "spiece.model")


def check_files(settings: CheckSettings, *, log: Log) -> CheckResult:
    """Return what is in the files, an example, and the findings."""
    return check_data(settings, _make_encoder(settings, log=log), log=log)


def load_model_tokenizer(name: str, *, log: Log) -> Tokenizer:
    """Return the tokenizer of a model; an adapter without one uses its base's."""
    folder = None
    for folder in _folders_of(name, log=log):
        if any((folder / file).is_file() for file in _TOKENIZER_FILES):
            return load_tokenizer(folder)
    raise InputError(
        f"{folder}: has no tokenizer; put tokenizer.json and tokenizer_config.json there"
    )


def read_model_limits(name: str, *, log: Log) -> ModelLimits:
    """Return the limits in the config.json of a model, or of an adapter's base."""
    for folder in _folders_of(name, log=log):
        config = read_json_object(folder / "config.json")
        if config:
            return find_limits(config)
    return ModelLimits(None, None)


def _folders_of(name: str, *, log: Log) -> Iterator[Path]:
    """Yield the folder of a model, that of its base if it is an adapter, and so on."""
    folder = locate_model(name, log=log)
    visited: set[Path] = set()
    while folder not in visited:
        yield folder
        visited.add(folder)
        base = read_json_object(folder / "adapter_config.json").get("base_model_name_or_path")
        if not base:
            return
        folder = locate_model(str(base), log=log)
    raise InputError(f"{folder}: is its own base; correct base_model_name_or_path")


def _make_encoder(settings: CheckSettings, *, log: Log) -> RecordEncoder | None:
    """Return the encoder of the rows, or None if no model is given."""
    if settings.model is None:
        return None
    limits = read_model_limits(settings.model, log=log)
    wanted = settings.max_length or DataSettings.model_fields["max_length"].default
    max_length = min(wanted, limits.max_positions or wanted)
    return RecordEncoder(
        tokenizer=load_model_tokenizer(settings.model, log=log),
        template=read_template_file(settings.chat_template),
        turns=settings.turns,
        max_length=max_length,
        context_length=limits.max_positions,
        lowered_from=settings.max_length if max_length != (settings.max_length or wanted) else None,
        vocab_size=limits.vocab_size,
    )
