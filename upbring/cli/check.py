"""`upbring check`: check data before training.

The findings go to standard output. Findings that prevent training are repeated, with their
locations, in the error that ends the command.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from upbring.cli.check_page import print_check
from upbring.data.chat.encode_records import RecordEncoder
from upbring.data.chat.tokenizer_files import Tokenizer, load_tokenizer
from upbring.data.check.check import check_data
from upbring.data.check.findings import format_failures
from upbring.errors import InputError
from upbring.runs.find_model import locate_model
from upbring.runs.json_object import read_json_object
from upbring.runs.model_limits import ModelLimits, find_limits
from upbring.settings.commands.check import CheckSettings
from upbring.settings.data import DataSettings
from upbring.settings.resolve import Resolved
from upbring.terminal import Console

Log = Callable[[str], None]
_TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "tokenizer.model", "vocab.txt", "spiece.model")


def run(resolved: Resolved[CheckSettings]) -> None:
    """Check the files, print the findings, and fail if a finding prevents training."""
    settings = resolved.settings
    with _status_log() as log:
        encoder = _make_encoder(settings, log=log)
        result = check_data(settings, encoder, log=log)
    console = Console(highlight=False)
    print_check(console, result)
    console.file.flush()  # before the error that may follow
    failures = format_failures(result.findings)
    if failures:
        raise InputError(failures)


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
        template=_read_template(settings.chat_template),
        turns=settings.turns,
        max_length=max_length,
        context_length=limits.max_positions,
        lowered_from=settings.max_length if max_length != (settings.max_length or wanted) else None,
        vocab_size=limits.vocab_size,
    )


def _read_template(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"--chat-template {path}: cannot be read ({error}); give another file"
        ) from error


@contextmanager
def _status_log() -> Iterator[Log]:
    """Show the progress of the check, if standard error is a terminal."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("") as status:
        yield lambda text: status.update(text.replace("[", r"\["))
