"""Findings about the columns of files: which were guessed, and which are not read."""

from collections.abc import Iterator, Sequence

from upbring.data.check.findings import CheckFinding
from upbring.data.check.preview import escape_terminal
from upbring.data.check.survey import Survey
from upbring.data.read.detect_format import join_names
from upbring.data.read.field_use import UnreadField, is_metadata, is_verdict
from upbring.data.read.records import Comparison, Demonstration, Prompt

_INPUT_NAMES = ("context", "passage", "document", "article")


def assess_columns(surveys: Sequence[Survey]) -> Iterator[CheckFinding]:
    """Yield a note for guessed columns, and a warning for those that are not learned."""
    for survey in surveys:
        if survey.format.is_guessed:
            yield _guessed_finding(survey)
        if survey.kind is Prompt and survey.is_kind_chosen:
            continue  # only the prompts are wanted
        verdicts = [name for name in survey.unread if is_verdict(name)]
        for name in verdicts:
            yield _verdict_finding(survey, name)
        others = [n for n in survey.unread if n not in verdicts and not is_metadata(n)]
        if others:
            yield _unread_finding(survey, others)


def _guessed_finding(survey: Survey) -> CheckFinding:
    columns = survey.format.columns
    if survey.kind is Prompt:
        column = next(iter(columns.values()))
        message = f"only the column {column} of {survey.path} is read, as the prompt"
        todo = f"for demonstrations use --format columns:prompt={column},response=COLUMN"
        return CheckFinding("note", "columns", message, todo)
    pairs = ",".join(f"{field}={column}" for field, column in columns.items())
    message = f"the columns of {survey.path} are read as {pairs}"
    return CheckFinding("note", "columns", message, "if that is wrong, use --format columns:…")


def _verdict_finding(survey: Survey, name: str) -> CheckFinding:
    """Return the warning about a field that may say which response is better."""
    message = f"{name} of {survey.path} is not read{_describe_values(survey.unread[name])}"
    todo = "check that no response is worse than it seems, or delete the column"
    if survey.kind is Comparison:
        todo = (
            "if it says which response is better, some pairs are learned the wrong way round: use "
            f"--format columns:prompt=…,response_a=…,response_b=…,winner={name}"
        )
    elif survey.kind is Demonstration:
        todo = "if it marks bad responses, they are learned too: remove those rows"
    return CheckFinding("warning", "columns", message, todo)


def _describe_values(field: UnreadField) -> str:
    values = [f"{value} ({count:,})" for value, count in sorted(field.values.items())]
    if field.has_other_values:
        values.append("others")
    return escape_terminal(f", though it is {', '.join(values)}") if values else ""


def _unread_finding(survey: Survey, names: Sequence[str]) -> CheckFinding:
    message = f"not read from {survey.path}, and not learned: {join_names(names)}"
    inputs = [name for name in names if name in _INPUT_NAMES]
    todo = "if the model should learn it, write it into the messages"
    if inputs and survey.format.name == "alpaca":
        todo = (
            "to append it to the prompt, use --format "
            f"columns:instruction=instruction,input={inputs[0]},response=…"
        )
    return CheckFinding("warning", "columns", message, todo)
