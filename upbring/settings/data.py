"""Settings of the training data: files, format, mixture, held-out share."""

from pathlib import Path

from upbring.settings.schema import Settings, setting


class DataSettings(Settings):
    """Training data. A path is a data set; there is no registry."""

    data: tuple[Path, ...] = setting(
        min_length=1,
        help="Training files: .jsonl .json .csv .tsv .txt, each also as .gz, .parquet, .arrow; "
        "or folders of such files.",
    )
    format: str = setting(
        "auto", help="Format of the rows. auto detects and reports it; see `upbring check`."
    )
    mix: tuple[str, ...] = setting(
        (),
        help="More files to mix in, each as FILE=WEIGHT; WEIGHT is its share of the examples. "
        "general.jsonl=0.2 replays general data to reduce forgetting.",
    )
    held_out: tuple[Path, ...] = setting(
        (),
        help="Held-out files: evaluated on, never trained on. Unset: held_out_share of the data.",
    )
    held_out_share: float = setting(
        0.05,
        ge=0,
        lt=1,
        help="Share of the rows that is held out when held_out is unset, at most 200 rows.",
    )
    skip_bad: Path | None = setting(
        None,
        help="Skip malformed rows and write them to this file. Unset: a malformed row is an error.",
    )
    chat_template: Path | None = setting(
        None, help="Jinja file with the chat template. Unset: the model's own."
    )
    max_length: int = setting(
        2048, ge=2, help="Maximum length of an example in tokens; truncated examples are reported."
    )
