"""The model card of a finished run, made from its folder."""

from upbring.runs.contract import Contract
from upbring.runs.metrics import MetricsRecord, read_metrics
from upbring.runs.model_card import render_model_card
from upbring.runs.run_folder import Run

LIMITS = [
    "It may generate false statements and repeat its training data.",
    "The numbers are measured on held-out rows of the same data; other uses were not measured.",
]
REWARD_MODEL_LIMIT = (
    "It reflects the preferences of its annotators on responses like those in its training data. A "
    "policy that is optimized against it finds responses that are unlike them."
)


def write_card(run: Run, contract: Contract, *, method: str, summary: str) -> None:
    """Write the model card of a run, into its folder and next to its weights."""
    records = read_metrics(run.metrics_file)
    stage, is_reward = contract.history[-1], contract.kind == "reward"
    text = render_model_card(
        name=run.path.name,
        base_model=contract.base,
        method=method,
        library="peft" if (run.model / "adapter_config.json").is_file() else "transformers",
        summary=summary,
        numbers=_format_metrics(records),
        data=[f"{source.file} ({source.rows} rows)" for source in stage.data],
        limits=[REWARD_MODEL_LIMIT, *LIMITS[1:]] if is_reward else LIMITS,
        pipeline="text-classification" if is_reward else "text-generation",
    )
    run.write_card(text)


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
