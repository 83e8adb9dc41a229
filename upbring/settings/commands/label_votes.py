"""Settings of `upbring label export`, `label import` and `label select`."""

from pathlib import Path
from typing import ClassVar, Literal

from upbring.settings.schema import Settings, setting


class LabelExportSettings(Settings):
    """Write votes as training data."""

    panel: ClassVar[str] = "Label export"

    labels: Path = setting(Path("labels"), help="Folder of the votes.")
    method: Literal["reward", "dpo", "kto", "sft"] = setting(
        "reward", help="The method that trains on the rows."
    )
    to: Path = setting(help="Output file (.jsonl); it is replaced.")
    use: Literal["votes", "consensus"] | None = setting(
        None,
        help="A ranking for each vote with its annotator (votes; default of reward), or each pair "
        "of responses with the share of votes as its probability (consensus; default of dpo). kto "
        "uses the consensus, sft the written responses.",
    )
    min_agreement: float | None = setting(
        None,
        ge=0,
        le=1,
        help="Leave out items whose rankings agree less, and items with a single ranking.",
    )
    annotators: tuple[str, ...] = setting((), help="Names of the annotators to use. Unset: all.")
    since: str | None = setting(None, help="First day of the votes to use: YYYY-MM-DD, in UTC.")
    until: str | None = setting(None, help="Last day of the votes to use: YYYY-MM-DD, in UTC.")
    weights: tuple[str, ...] = setting(
        (), help="Weights of annotators, each as NAME=WEIGHT; others have 1. 0 leaves votes out."
    )


class LabelImportSettings(Settings):
    """Read votes that were made with another tool."""

    panel: ClassVar[str] = "Label import"

    data: tuple[Path, ...] = setting(
        min_length=1,
        help="Files of Argilla (records as JSON), Label Studio (JSON), Potato (user_state.json), "
        "Chatbot Arena, or annotated-pairs 2.0; the format is detected.",
    )
    to: Path = setting(Path("labels"), help="Folder of the votes; existing votes are kept.")
    items: Path | None = setting(None, help="Data file of a Potato study, with the texts.")


class LabelSelectSettings(Settings):
    """Choose which items people rank first."""

    panel: ClassVar[str] = "Label select"

    labels: Path = setting(Path("labels"), help="Folder of the votes, with its items.")
    select: Literal["random", "gap", "uncertain"] = setting(
        "random",
        help="Rank first: a random order, the items with the largest difference between the scores "
        "of two responses (gap), or those on which reward models disagree (uncertain).",
    )
    reward_models: tuple[str, ...] = setting(
        (), help="Reward models: one for gap, at least two for uncertain."
    )
    seed: int = setting(0, ge=0, help="Random seed of a random order.")
    dtype: Literal["auto", "float32", "bfloat16"] = setting(
        "auto",
        help="Data type of weights and matrix multiplications. auto uses bfloat16 where the "
        "hardware supports it natively.",
    )
    device: Literal["auto", "cpu", "cuda"] = setting(
        "auto", help="Device to run on. auto uses a GPU if there is one."
    )
    threads: int | None = setting(
        None, ge=1, help="Number of CPU threads. Unset: one per CPU core that this process may use."
    )
