"""The model card of a finished run, from what stands in its folder."""

from upbring.runs.contract import Contract
from upbring.runs.metrics import Record, read_metrics
from upbring.runs.model_card import card
from upbring.runs.run_folder import Run

LIMITS = [
    "It may state what is false, and repeat what its data contains.",
    "The numbers are measured on held-out rows of the same data and say nothing of other uses.",
]
TASTE = (
    "Its taste is that of who ranked, of answers such as it was shown; a policy that is optimised "
    "against it finds answers that it was not."
)


def write_card(run: Run, contract: Contract, *, verb: str, summary: str) -> None:
    """Write the model card of a run, into its folder and beside its weights."""
    records = read_metrics(run.metrics_file)
    stage, is_reward = contract.history[-1], contract.kind == "reward"
    text = card(
        name=run.path.name,
        base_model=contract.base,
        verb=verb,
        library="peft" if (run.model / "adapter_config.json").is_file() else "transformers",
        summary=summary,
        numbers=_numbers(records),
        data=[f"{source.file} ({source.rows} rows)" for source in stage.data],
        limits=[TASTE, *LIMITS[1:]] if is_reward else LIMITS,
        pipeline="text-classification" if is_reward else "text-generation",
    )
    run.write_card(text)


def _numbers(records: list[Record]) -> dict[str, str]:
    """Return the first and the last value of what was measured."""
    held = [r.values for r in records if r.kind == "held_out"]
    trained = [r.values for r in records if r.kind == "train"]
    numbers = {"steps": str(records[-1].step)} if records else {}
    columns = [("training loss", "loss", trained)]
    columns += [(f"held-out {name}", name, held) for name in (held[-1] if held else ())]
    for title, name, values in columns:
        found = [each[name] for each in values if name in each]
        if found:
            numbers[title] = f"{found[0]:.4f} → {found[-1]:.4f} (lowest {min(found):.4f})"
    return numbers
