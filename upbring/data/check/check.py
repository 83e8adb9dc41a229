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

from upbring.data.chat.encode_records import RecordEncoder
from upbring.data.check.assess import assess_surveys
from upbring.data.check.findings import CheckFinding
from upbring.data.check.kept_texts import TextIndex
from upbring.data.check.preview import PreviewExample, plain_example, rendered_example
from upbring.data.check.survey import Purpose, Survey
from upbring.data.read import formats
from upbring.data.read.detect_format import detect_format
from upbring.data.read.format_table import RecordType
from upbring.data.read.formats import RecordReader
from upbring.data.read.record_text import text_of
from upbring.data.read.records import Comparison, Demonstration, Document, Label, Prompt, Record
from upbring.errors import InputError
from upbring.settings.commands.check import CheckSettings

Log = Callable[[str], None]
RECORD_TYPES: dict[str, RecordType] = {
    "pretrain": Document,
    "sft": Demonstration,
    "reward": Comparison,
    "prompts": Prompt,
}
_DETECTION_ORDER: tuple[RecordType, ...] = (
    Comparison,
    Label,
    Demonstration,
    Document,
    Prompt,
)  # auto's order
_MAX_TRIED = 20
_LOG_EVERY = 1000


@dataclass(frozen=True, eq=False)
class CheckResult:
    """All that a check knows: the surveys of the files, an example, and the findings."""

    surveys: tuple[Survey, ...]
    example: PreviewExample | None
    findings: tuple[CheckFinding, ...]


def check_data(settings: CheckSettings, encoder: RecordEncoder | None, *, log: Log) -> CheckResult:
    """Return what is found in the files that the settings name."""
    surveys = []
    purposes: tuple[tuple[Purpose, tuple[Path, ...]], ...] = (
        ("train", settings.data),
        ("held_out", settings.held_out),
    )
    for purpose, paths in purposes:
        texts = TextIndex(keeps_texts=purpose == "train")
        prompts = TextIndex(keeps_texts=bool(settings.held_out))
        for path in paths:
            kind = detect_record_type(path, settings, is_held_out=purpose == "held_out")
            reading: RecordReader[Record] = formats.read_records(
                path, kind, format=settings.format, skip_bad=settings.skip_bad
            )
            survey = Survey(
                path=path,
                purpose=purpose,
                kind=kind,
                format=reading.recognised,
                encoder=encoder,
                texts=texts,
                prompts=prompts,
                skip_bad=settings.skip_bad,
                is_column_guessed=settings.format == "auto" and bool(reading.recognised.columns),
            )
            _read_survey(survey, reading, log=log)
            surveys.append(survey)
    log("looking for copies")
    return CheckResult(tuple(surveys), _choose_example(surveys), tuple(assess_surveys(surveys)))


def detect_record_type(
    path: Path, settings: CheckSettings, *, is_held_out: bool = False
) -> RecordType:
    """Return the kind of record that a file is read as: the purpose's, or what its rows offer.

    Prompts may be held out, whatever is learned from.
    """
    wanted = RECORD_TYPES.get(settings.purpose)
    kinds = (wanted,) if wanted else _DETECTION_ORDER
    if wanted and is_held_out:
        kinds = (wanted, Prompt)
    problems = {}
    for kind in kinds:
        try:
            detect_format(path, kind, format=settings.format)
        except InputError as error:
            problems[kind] = error
        else:
            return kind
    raise problems.get(Demonstration, problems[kinds[0]])


def _read_survey(survey: Survey, reading: RecordReader[Record], *, log: Log) -> None:
    """Read a file to its end, telling how far it is."""
    if survey.encoder is not None and survey.kind is not Document:
        assert survey.encoder.chat, "a template that fails does so before the rows are read"
    for number, _ in enumerate(survey.read(reading), 1):
        if number % _LOG_EVERY == 0:
            log(f"{survey.path}: {number:,} rows")


def _choose_example(surveys: Sequence[Survey]) -> PreviewExample | None:
    """Return a row of middle length from the first file that has any."""
    for survey in surveys:
        records = sorted(survey.sample.selected, key=lambda record: len(text_of(record)))
        middle_first = sorted(range(len(records)), key=lambda i: abs(i - len(records) // 2))
        for record in (records[i] for i in middle_first[:_MAX_TRIED]):
            if survey.encoder is None:
                return plain_example(record)
            try:
                tree = survey.encoder.encode(record)
            except InputError:
                continue  # told among the rows that cannot be learned from
            return rendered_example(record, tree, tokenizer=survey.encoder.tokenizer)
    return None
