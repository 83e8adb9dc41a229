"""Settings of `upbring label`."""

from pathlib import Path
from typing import ClassVar, Literal

from upbring.settings.schema import Settings, setting


class LabelSettings(Settings):
    """People rank responses on a page; their votes train models."""

    panel: ClassVar[str] = "Label"

    do: tuple[str, ...] = setting((), help="Files of prompts, one per row, that --models answer.")
    models: tuple[str, ...] = setting(
        (),
        help="Models that answer the prompts while people vote. A single model answers each prompt "
        "several times.",
    )
    responses: Path | None = setting(
        None,
        help="File of prompts with their responses, instead of prompts and models. Rows with gold "
        "(the known places of the responses) become control items.",
    )
    to: Path = setting(Path("labels"), help="Folder of the votes; run again, it continues.")
    name: str = setting("me", help="Your name in the votes.")
    overlap: int | None = setting(
        None,
        ge=1,
        help="Votes per item, by different annotators. Unset: as before in the folder, or 1.",
    )
    repeat_every: int = setting(
        20, ge=0, help="Every this many items is one the annotator ranked before; 0: never."
    )
    gold_every: int = setting(15, ge=0, help="Every this many items is a control item; 0: never.")
    num_responses: int | None = setting(
        None, ge=2, le=9, help="Responses per prompt. Unset: one per model, or 4 of a single model."
    )
    limit: int = setting(200, ge=1, help="Maximum number of prompts, evenly spread over the files.")
    temperature: float = setting(1.0, ge=0, help="Sampling temperature; 0 is greedy decoding.")
    max_tokens: int = setting(256, ge=1, help="Maximum length of a response in tokens.")
    seed: int = setting(0, ge=0, help="Random seed of sampling and of the order of responses.")
    port: int = setting(0, ge=0, le=65535, help="Port of the page; 0: any free port.")
    host: str = setting(
        "127.0.0.1",
        help="Name or address to serve on. Other than the default, other computers reach the page, "
        "without encryption.",
    )
    simulate: int = setting(
        0,
        ge=0,
        le=100,
        help="Let this many simulated annotators of the toy dataset vote through the page's API, "
        "then end. Their votes stay marked.",
    )
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
