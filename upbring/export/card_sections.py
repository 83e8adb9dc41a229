"""Sections of an exported model's card: licence, training data with hashes, evaluation, limits."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from upbring.errors import InputError
from upbring.export.portable import portable_name
from upbring.runs.contract import Contract
from upbring.runs.results import REWARD_HEALTH, EvalResult, read_results
from upbring.runs.run_folder import STAGES_FOLDER

CARD_FILE = "README.md"
LICENSE_KEYS = ("license", "license_name", "license_link")
LICENSE_FILES = ("LICENSE*", "LICENCE*", "NOTICE*", "USE_POLICY*", "COPYING*")
EVALUATION_FOLDER = "evaluation"
POLICY_LIMITS = (
    "It may generate false statements, harmful text and parts of its training data.",
    "It inherits the limits and biases of its base.",
    "What is not measured above was not shown.",
)
REWARD_LIMITS = (
    "It reflects the preferences of its annotators on responses like those that it was trained on.",
    "A policy that is optimized against it finds responses that are unlike them.",
    "What is not measured above was not shown.",
)
_FENCE = "---\n"


def read_card(path: Path) -> tuple[dict[str, object], str]:
    """Return the metadata and the text of a card; nothing if there is none that can be read."""
    try:
        _, fence, rest = path.read_text(encoding="utf-8").partition(_FENCE)
        head, end, text = rest.partition(f"\n{_FENCE}")
        metadata = yaml.safe_load(head)
    except (OSError, UnicodeError, yaml.YAMLError):
        return {}, ""
    if not (fence and end and isinstance(metadata, dict)):
        return {}, ""
    return metadata, text.strip()


def find_license(bases: Sequence[Path]) -> dict[str, object]:
    """Return the licence in the metadata of the first base whose card names one."""
    for base in bases:
        metadata = read_card(base / CARD_FILE)[0]
        if found := {key: metadata[key] for key in LICENSE_KEYS if metadata.get(key)}:
            return found
    return {}


def find_license_files(base: Path) -> list[Path]:
    """Return the files of a base that state its licence."""
    return sorted({p for name in LICENSE_FILES for p in base.glob(name) if p.is_file()})


def license_section(found: dict[str, object], files: Sequence[Path], base_name: str) -> str:
    """Return what is known about the licence of the base."""
    name = found.get("license_name") or found.get("license")
    if name:
        text = f"The base, {base_name}, has the licence {name}, according to its model card."
    else:
        text = f"The model card of the base, {base_name}, names no licence."
    if files:
        text += f" Its terms are in {', '.join(file.name for file in files)}."
    elif not name:
        text += " Find out which terms apply before you publish this model."
    return f"## Licence\n\n{text}"


def training_section(contract: Contract) -> str:
    """Return the stages of training with the hashes of their data, as a table."""
    lines = ["## Training", "", "| stage | steps | data | rows | sha256 |", "|---|---|---|---|---|"]
    for number, stage in enumerate(contract.history, start=1):
        head = f"| {number}. {stage.method} | {stage.steps:,}"
        lines += [
            f"{head} | {_cell(portable_name(each.file))} | {each.rows:,} | `{each.sha256}` |"
            for each in stage.data
        ] or [f"{head} | | | |"]
    lines += ["", f"The base's weights have the hash `{contract.base_sha256}`."]
    return "\n".join(lines)


def evaluation_section(results: Sequence[EvalResult]) -> str:
    """Return the numbers of an evaluation as a table; '' if there are none."""
    rows = [
        f"| {result.suite} | {_cell(result.name)}{_against(result)} | {_number(result)} | "
        f"{_interval(result)} | {result.count or ''} |"
        for result in results
        if result.value is not None
    ]
    head = ["| suite | number | value | 95 % interval | n |", "|---|---|---|---|---|"]
    return "\n".join(["## Evaluation", "", *head, *rows]) if rows else ""


def find_results(name: str, folder: Path, evaluation: Path | None) -> list[EvalResult]:
    """Return the evaluation results about a model, from the folder of an evaluation.

    `name` is how the user calls the model, `folder` its folder. Without an `evaluation`, that of
    the pipeline is used, whose stages are in `stages`, or that in the current directory.
    """
    run = folder.parent if folder.name == "model" else folder
    is_stage = run.parent.name == STAGES_FOLDER
    pipeline = run.parent.parent / EVALUATION_FOLDER
    default = pipeline if is_stage else Path(EVALUATION_FOLDER)
    results = read_results(evaluation or default)
    found = [
        result
        for result in results
        if result.suite != REWARD_HEALTH
        and (
            result.model == name
            or (is_stage and result.model == run.name)
            or Path(result.model).absolute() == run.absolute()
        )
    ]
    if evaluation is not None and not found:
        names = ", ".join(dict.fromkeys(result.model for result in results))
        raise InputError(
            f"--evaluation: {evaluation} has no results of {name}"
            + (f", only of {names}" if names else "")
            + f"; evaluate it with `upbring evaluate {name} --to {evaluation}`"
        )
    return found


def limits_section(contract: Contract, text: str) -> Iterator[str]:
    """Yield the limits of a model, unless the text of its run's card has them."""
    if "\n## Limits\n" not in f"\n{text}":
        limits = REWARD_LIMITS if contract.kind == "reward" else POLICY_LIMITS
        yield "\n".join(["## Limits", "", *(f"- {limit}" for limit in limits)])


def _against(result: EvalResult) -> str:
    return f" against {_cell(portable_name(result.against))}" if result.against else ""


def _number(result: EvalResult) -> str:
    return _format(result.value, result.unit)


def _interval(result: EvalResult) -> str:
    if result.low is None or result.high is None:
        return ""
    return f"{_format(result.low, result.unit)} to {_format(result.high, result.unit)}"


def _format(value: float | None, unit: str) -> str:
    """Return a number with its unit.

    >>> _format(0.8125, "share"), _format(2.0934, "perplexity")
    ('81.2 %', '2.093')
    """
    if value is None:
        return ""
    return f"{100 * value:.1f} %" if unit == "share" else f"{value:.4g}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
