"""The model card in the format of the Hugging Face Hub."""

from collections.abc import Mapping, Sequence

import yaml

from upbring.runs.environment import redact_home


def render_model_card(
    *,
    name: str,
    base_model: str,
    method: str,
    library: str,
    summary: str,
    numbers: Mapping[str, str],
    data: Sequence[str],
    pipeline: str = "text-generation",
    license_name: str | None = None,
    languages: Sequence[str] = (),
    limits: Sequence[str] = (),
) -> str:
    """Return the text of a README.md: YAML metadata for the Hub, then Markdown sections."""
    metadata: dict[str, object] = {
        "base_model": redact_home(base_model),
        "library_name": library,
        "pipeline_tag": pipeline,
        "tags": ["upbring", method],
    }
    if license_name:
        metadata["license"] = license_name
    if languages:
        metadata["language"] = list(languages)
    if data:
        metadata["datasets"] = [redact_home(each) for each in data]
    parts = [
        f"---\n{yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)}---",
        f"# {name}",
        redact_home(summary),
        *_results_table(numbers),
        *_bullet_section("Data", [redact_home(each) for each in data]),
        *_bullet_section("Limits", limits),
    ]
    return "\n\n".join(parts) + "\n"


def _results_table(numbers: Mapping[str, str]) -> list[str]:
    if not numbers:
        return []
    rows = [f"| {_escape_cell(key)} | {_escape_cell(value)} |" for key, value in numbers.items()]
    return ["## Measured", "\n".join(["| what | value |", "|---|---|", *rows])]


def _bullet_section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "\n".join(f"- {line}" for line in lines)] if lines else []


def _escape_cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
