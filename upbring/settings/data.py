"""Which files, how they are read, and how they are mixed."""

from pathlib import Path

from upbring.settings.schema import Settings, setting


class DataSettings(Settings):
    """The files to learn from. A path is a data set; nothing is registered."""

    data: tuple[Path, ...] = setting(
        min_length=1,
        help="Files to learn from: .jsonl .json .csv .txt, each also .gz, or .parquet.",
    )
    format: str = setting(
        "auto", help="Format of the rows. auto recognises it and says which; see `upbring check`."
    )
    mix: tuple[str, ...] = setting(
        (),
        help="Further files to mix in, each as FILE=WEIGHT: WEIGHT is its share of the examples "
        "(general.jsonl=0.2 replays general data against forgetting).",
    )
    held_out: tuple[Path, ...] = setting(
        (), help="Files to evaluate on, never trained on. Unset: a share of the data."
    )
    held_out_share: float = setting(
        0.05,
        ge=0,
        lt=1,
        help="Share of the rows kept for evaluation when held_out is unset, at most 200 rows.",
    )
    skip_bad: Path | None = setting(
        None, help="Go on without malformed rows and write them to this file."
    )
    chat_template: Path | None = setting(
        None, help="Jinja file to use as the chat template. Unset: the model's own."
    )
    max_length: int = setting(
        2048, ge=2, help="Longest example in tokens; what is cut is counted and reported."
    )
