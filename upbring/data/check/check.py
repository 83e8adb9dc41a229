"""What must hold before a step is taken: reads the files once and tells what it found.

    failure   a malformed row, a row with nothing to learn, no stop token learned, BOS twice,
              training unlike serving, a held-out prompt that is trained on
    warning   copies, near copies, rows cut at max_length, personal data, control tokens spelled
              in messages, rows that imitate a turn, few or one-sided comparisons

Without a tokenizer only the text is looked at. All rows are judged by their tokens; whether
training and serving agree is tried on 200 rows of each file, for it renders a dialogue three times.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from upbring.data.chat.encode_records import Encoding
from upbring.data.check.assess import verdicts
from upbring.data.check.findings import Finding
from upbring.data.check.kept_texts import Texts
from upbring.data.check.preview import Example, plain_example, rendered_example
from upbring.data.check.survey import Purpose, Survey
from upbring.data.read import formats
from upbring.data.read.detect_format import recognise
from upbring.data.read.format_table import Kind
from upbring.data.read.formats import Reading
from upbring.data.read.record_text import text_of
from upbring.data.read.records import Comparison, Demonstration, Document, Label, Prompt, Record
from upbring.errors import InputError
from upbring.settings.commands.check import CheckSettings

Notice = Callable[[str], None]
KINDS: dict[str, Kind] = {
    "pretrain": Document,
    "sft": Demonstration,
    "reward": Comparison,
    "prompts": Prompt,
}
_OFFERED: tuple[Kind, ...] = (Comparison, Label, Demonstration, Document, Prompt)  # auto's order
_TRIED = 20
_NOTICE_EVERY = 1000


@dataclass(frozen=True, eq=False)
class Checked:
    """All that a check knows: the surveys of the files, an example, and the findings."""

    surveys: tuple[Survey, ...]
    example: Example | None
    findings: tuple[Finding, ...]


def check(settings: CheckSettings, encoding: Encoding | None, *, notice: Notice) -> Checked:
    """Return what is found in the files that the settings name."""
    surveys = []
    purposes: tuple[tuple[Purpose, tuple[Path, ...]], ...] = (
        ("train", settings.data),
        ("held_out", settings.held_out),
    )
    for purpose, paths in purposes:
        texts = Texts(keeps=purpose == "train")
        questions = Texts(keeps=bool(settings.held_out))
        for path in paths:
            kind = kind_of(path, settings, is_held_out=purpose == "held_out")
            reading: Reading[Record] = formats.read(
                path, kind, format=settings.format, skip_bad=settings.skip_bad
            )
            survey = Survey(
                path=path,
                purpose=purpose,
                kind=kind,
                format=reading.recognised,
                encoding=encoding,
                texts=texts,
                questions=questions,
                skip_bad=settings.skip_bad,
                is_guessed=settings.format == "auto" and bool(reading.recognised.columns),
            )
            _read(survey, reading, notice=notice)
            surveys.append(survey)
    notice("looking for copies")
    return Checked(tuple(surveys), _example(surveys), tuple(verdicts(surveys)))


def kind_of(path: Path, settings: CheckSettings, *, is_held_out: bool = False) -> Kind:
    """Return the kind of record that a file is read as: the purpose's, or what its rows offer.

    Prompts may be held out, whatever is learned from.
    """
    wanted = KINDS.get(settings.purpose)
    kinds = (wanted,) if wanted else _OFFERED
    if wanted and is_held_out:
        kinds = (wanted, Prompt)
    problems = {}
    for kind in kinds:
        try:
            recognise(path, kind, format=settings.format)
        except InputError as error:
            problems[kind] = error
        else:
            return kind
    raise problems.get(Demonstration, problems[kinds[0]])


def _read(survey: Survey, reading: Reading[Record], *, notice: Notice) -> None:
    """Read a file to its end, telling how far it is."""
    if survey.encoding is not None and survey.kind is not Document:
        assert survey.encoding.chat, "a template that fails does so before the rows are read"
    for number, _ in enumerate(survey.read(reading), 1):
        if number % _NOTICE_EVERY == 0:
            notice(f"{survey.path}: {number:,} rows")


def _example(surveys: Sequence[Survey]) -> Example | None:
    """Return a row of middle length from the first file that has any."""
    for survey in surveys:
        records = sorted(survey.sample.chosen, key=lambda record: len(text_of(record)))
        middle_first = sorted(range(len(records)), key=lambda i: abs(i - len(records) // 2))
        for record in (records[i] for i in middle_first[:_TRIED]):
            if survey.encoding is None:
                return plain_example(record)
            try:
                tree = survey.encoding.tree(record)
            except InputError:
                continue  # told among the rows that cannot be learned from
            return rendered_example(record, tree, tokenizer=survey.encoding.tokenizer)
    return None
