"""The model card of a finished run, in the format of the Hugging Face Hub."""

from collections.abc import Mapping, Sequence

import yaml

from upbring.evaluate.to_results import format_result
from upbring.plurals import format_count
from upbring.runs.contract import Contract
from upbring.runs.environment import redact_home
from upbring.runs.metrics import MetricsRecord, read_metrics
from upbring.runs.results import REWARD_HEALTH, EvalResult, JudgeQuality, read_results
from upbring.runs.run_folder import Run
from upbring.runs.source_results import VOTES

LIMITS = [
    "It may generate false statements and repeat its training data.",
    "The numbers are measured on held-out rows of the same data; other uses were not measured.",
]
REWARD_MODEL_LIMIT = (
    "It reflects the preferences of its annotators on responses like those in its training data. A "
    "policy that is optimized against it finds responses that are unlike them."
)


def write_card(
    run: Run,
    contract: Contract,
    *,
    method: str,
    summary: str,
    data_notes: Sequence[str] = (),
    judges: Sequence[JudgeQuality] = (),
    votes: Sequence[EvalResult] = (),
) -> None:
    """Write the model card of a run.

    `data_notes` tell how many rows were dropped or truncated, `judges` who scored responses or
    labeled rows, and `votes` how well the people agree who did.
    """
    records = read_metrics(run.metrics_file)
    own_results = [r for r in read_results(run.path) if r.suite == REWARD_HEALTH and r.judge]
    own_quality = [result.judge for result in own_results[:1] if result.judge]
    stage, is_reward = contract.history[-1], contract.kind == "reward"
    text = render_model_card(
        name=run.path.name,
        base_model=contract.base,
        method=method,
        library="peft" if (run.model / "adapter_config.json").is_file() else "transformers",
        summary=summary,
        numbers=_format_metrics(records)
        | _format_judges([*own_quality, *judges])
        | _format_votes(votes),
        data=[f"{source.file} ({format_count(source.rows, 'row')})" for source in stage.data],
        data_notes=data_notes,
        limits=[REWARD_MODEL_LIMIT, *LIMITS[1:]] if is_reward else LIMITS,
        pipeline="text-classification" if is_reward else "text-generation",
    )
    run.write_card(text)


def render_model_card(
    *,
    name: str,
    base_model: str,
    method: str,
    library: str,
    summary: str,
    numbers: Mapping[str, str],
    data: Sequence[str],
    data_notes: Sequence[str] = (),
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
        *_bullet_section("Data", [redact_home(each) for each in (*data, *data_notes)]),
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


def _format_judges(judges: Sequence[JudgeQuality]) -> dict[str, str]:
    """Return how good each reward model and judge is: the numbers it gives are worth no more."""
    return {
        f"quality of {redact_home(judge.name)} as a judge": f"{judge.verdict}; {judge.detail}"
        for judge in judges
    }


def _format_votes(votes: Sequence[EvalResult]) -> dict[str, str]:
    """Return how well the annotators of the training data agree."""
    titles = {
        "agreement": "annotators who agree on a pair of the training data",
        "alpha": "Krippendorff's alpha of their rankings",
    }
    return {
        titles[each.name]: format_result(each)
        for each in votes
        if each.suite == VOTES and each.name in titles
    }


def _format_metrics(records: list[MetricsRecord]) -> dict[str, str]:
    """Return the first, last and lowest value of each metric, as text."""
    held_out = [r.values for r in records if r.kind == "held_out"]
    train = [r.values for r in records if r.kind == "train"]
    numbers = {"steps": str(records[-1].step)} if records else {}
    columns = [("training loss", "loss", train)]
    columns += [(f"held-out {name}", name, held_out) for name in (held_out[-1] if held_out else ())]
    for title, name, values in columns:
        series = [each[name] for each in values if name in each]
        if series:
            numbers[title] = f"{series[0]:.4f} → {series[-1]:.4f} (lowest {min(series):.4f})"
    return numbers
