"""Check data files before training: reads each file once and reports failures and warnings.

    failure   a malformed row, a row without trained tokens, no trained stop token, BOS twice,
              training and inference tokens differ, a held-out prompt in the training data, no row
              left within max_length, tokens that the model does not have
    warning   duplicates, near duplicates, rows truncated at max_length, columns that are not read,
              text that the template drops, unknown tokens, personal data, text of special tokens
              in messages, turn markers in messages, few or length-biased comparisons

Without a tokenizer only the text is checked. The tokens of all rows are checked, except that
training and inference are compared on 200 rows of each file, because this renders a dialogue three
times.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from upbring.data.chat.encode_records import RecordEncoder
from upbring.data.check.assess import assess_surveys
from upbring.data.check.findings import CheckFinding
from upbring.data.check.kept_texts import TextIndex
from upbring.data.check.preview import PreviewExample, plain_example, rendered_example
from upbring.data.check.survey import Purpose, Survey
from upbring.data.read import formats
from upbring.data.read.detect_format import detect_format, join_names
from upbring.data.read.folders import expand_folders
from upbring.data.read.format_table import RecordType
from upbring.data.read.formats import RecordReader
from upbring.data.read.record_text import text_of
from upbring.data.read.records import Comparison, Demonstration, Document, Label, Prompt, Record
from upbring.errors import InputError
from upbring.plurals import format_count
from upbring.settings.commands.check import CheckSettings

Log = Callable[[str], None]
RECORD_TYPES: dict[str, tuple[RecordType, ...]] = {
    "pretrain": (Document,),
    "sft": (Demonstration,),
    **dict.fromkeys(("reward", "dpo", "ipo", "orpo", "simpo"), (Comparison,)),
    "kto": (Comparison, Label),
    **dict.fromkeys(("ppo", "grpo", "rloo", "prompts"), (Prompt,)),
}
# With --purpose auto, the first type that the rows can be read as is used.
_DETECTION_ORDER: tuple[RecordType, ...] = (Comparison, Label, Demonstration, Document, Prompt)
_MAX_TRIED = 20
_LOG_EVERY = 1000


@dataclass(frozen=True, eq=False)
class CheckResult:
    """The surveys of the files, an example row, and the findings."""

    surveys: tuple[Survey, ...]
    example: PreviewExample | None
    findings: tuple[CheckFinding, ...]


def check_data(settings: CheckSettings, encoder: RecordEncoder | None, *, log: Log) -> CheckResult:
    """Check the files of the settings; without an encoder, only their text."""
    surveys = []
    purposes: tuple[tuple[Purpose, tuple[Path, ...]], ...] = (
        ("train", settings.data),
        ("held_out", settings.held_out),
    )
    for purpose, paths in purposes:
        texts = TextIndex(keeps_texts=purpose == "train")
        prompts = TextIndex(keeps_texts=bool(settings.held_out))
        for path in expand_folders(paths):
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
                is_kind_chosen=settings.purpose != "auto" or purpose == "held_out",
            )
            _read_survey(survey, reading, log=log)
            surveys.append(survey)
    log("searching for duplicates")
    return CheckResult(tuple(surveys), _choose_example(surveys), tuple(assess_surveys(surveys)))


def detect_record_type(
    path: Path, settings: CheckSettings, *, is_held_out: bool = False
) -> RecordType:
    """Return the record type of a file: that of the purpose, or with auto the first that fits.

    Held-out files may also contain only prompts, for every purpose.
    """
    wanted = RECORD_TYPES.get(settings.purpose)
    kinds = wanted or _DETECTION_ORDER
    if wanted and is_held_out:
        kinds = (*wanted, Prompt)
    problems = {}
    for kind in kinds:
        try:
            detected = detect_format(path, kind, format=settings.format)
        except InputError as error:
            problems[kind] = error
        else:
            is_choice = wanted is not None or is_held_out or settings.format != "auto"
            if kind is Prompt and detected.response_like_fields and not is_choice:
                raise _only_prompts_error(path, detected.response_like_fields, problems)
            return kind
    raise problems.get(Demonstration, problems[kinds[0]])


def _only_prompts_error(
    path: Path, names: Sequence[str], problems: Mapping[RecordType, InputError]
) -> InputError:
    """Return the error of a file that could be read as prompts, though it may hold responses."""
    suggestion = str(problems[Demonstration]).rpartition("; name the columns: ")[2]
    if "--format columns:" not in suggestion:
        suggestion = "name the columns: --format columns:prompt=COLUMN,response=COLUMN"
    return InputError(
        f"{path}: {join_names(names)} may be responses, but only the prompts could be read; name "
        f"the columns: {suggestion.removeprefix('name the columns: ')}, or read only the prompts: "
        "--purpose prompts"
    )


def _read_survey(survey: Survey, reading: RecordReader[Record], *, log: Log) -> None:
    """Read a file to its end and log the progress."""
    if survey.encoder is not None and survey.kind is not Document:
        assert survey.encoder.chat, "compiles the template, so that its errors come before the rows"
    for number, _ in enumerate(survey.read(reading), 1):
        if number % _LOG_EVERY == 0:
            log(f"{survey.path}: {format_count(number, 'row')}")


def _choose_example(surveys: Sequence[Survey]) -> PreviewExample | None:
    """Return a row of about median length from the first file that has one."""
    for survey in surveys:
        records = sorted(survey.sample.selected, key=lambda record: len(text_of(record)))
        middle_first = sorted(range(len(records)), key=lambda i: abs(i - len(records) // 2))
        for record in (records[i] for i in middle_first[:_MAX_TRIED]):
            if survey.encoder is None:
                return plain_example(record)
            try:
                tree = survey.encoder.encode(record)
            except InputError:
                continue  # counted in survey.rejected
            return rendered_example(record, tree, tokenizer=survey.encoder.tokenizer)
    return None
