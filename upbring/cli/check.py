"""`upbring check`: look at data before a step is taken.

What was found goes to standard output. What forbids training is told once more, with its places,
by the error that ends the verb.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from upbring.cli.check_page import show
from upbring.data.chat.encode_records import Encoding
from upbring.data.chat.tokenizer_files import Tokenizer, load_tokenizer
from upbring.data.check.check import check
from upbring.data.check.findings import told
from upbring.errors import InputError
from upbring.runs.find_model import locate, read_object
from upbring.settings.commands.check import CheckSettings
from upbring.settings.resolve import Resolved

Notice = Callable[[str], None]
_TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "tokenizer.model", "vocab.txt", "spiece.model")


def run(resolved: Resolved[CheckSettings]) -> None:
    """Check the files, print what was found, and fail if something forbids training."""
    settings = resolved.settings
    with _noticing() as notice:
        encoding = _encoding(settings, notice=notice)
        checked = check(settings, encoding, notice=notice)
    console = Console(highlight=False)
    show(console, checked)
    console.file.flush()  # before the error that may follow
    failed = told(checked.findings)
    if failed:
        raise InputError(failed)


def tokenizer_of(name: str, *, notice: Notice) -> Tokenizer:
    """Return the tokenizer of a model; an adapter without one has its base's."""
    folder = locate(name, notice=notice)
    seen = {folder}
    while not any((folder / file).is_file() for file in _TOKENIZER_FILES):
        base = read_object(folder / "adapter_config.json").get("base_model_name_or_path")
        if not base:
            raise InputError(
                f"{folder}: holds no tokenizer; put tokenizer.json and tokenizer_config.json there"
            )
        folder = locate(str(base), notice=notice)
        if folder in seen:
            raise InputError(f"{folder}: is its own base; mend base_model_name_or_path")
        seen.add(folder)
    return load_tokenizer(folder)


def _encoding(settings: CheckSettings, *, notice: Notice) -> Encoding | None:
    """Return how rows become tokens, if a model is named."""
    if settings.model is None:
        return None
    return Encoding(
        tokenizer=tokenizer_of(settings.model, notice=notice),
        template=_template(settings.template),
        turns=settings.turns,
        max_length=settings.max_length,
    )


def _template(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--template {path}: cannot be read ({error}); name another") from error


@contextmanager
def _noticing() -> Iterator[Notice]:
    """Show how far the check is, where somebody looks on."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("") as status:
        yield lambda text: status.update(text.replace("[", r"\["))
