"""The model card: what a model is, in the form that model hubs read."""

from collections.abc import Mapping, Sequence

import yaml

from upbring.runs.environment import redacted


def card(
    *,
    name: str,
    base_model: str,
    verb: str,
    library: str,
    summary: str,
    numbers: Mapping[str, str],
    data: Sequence[str],
    pipeline: str = "text-generation",
    license_name: str | None = None,
    languages: Sequence[str] = (),
    limits: Sequence[str] = (),
) -> str:
    """Return the text of a README.md: a YAML head for hubs, then what people want to know."""
    head: dict[str, object] = {
        "base_model": redacted(base_model),
        "library_name": library,
        "pipeline_tag": pipeline,
        "tags": ["upbring", verb],
    }
    if license_name:
        head["license"] = license_name
    if languages:
        head["language"] = list(languages)
    if data:
        head["datasets"] = [redacted(each) for each in data]
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---",
        f"# {name}",
        redacted(summary),
        *_table(numbers),
        *_list("Data", [redacted(each) for each in data]),
        *_list("Limits", limits),
    ]
    return "\n\n".join(parts) + "\n"


def _table(numbers: Mapping[str, str]) -> list[str]:
    if not numbers:
        return []
    rows = [f"| {_cell(key)} | {_cell(value)} |" for key, value in numbers.items()]
    return ["## Measured", "\n".join(["| what | value |", "|---|---|", *rows])]


def _list(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "\n".join(f"- {line}" for line in lines)] if lines else []


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
