"""Evaluation: whom, by which suites, on what data."""

from pathlib import Path
from typing import ClassVar, Literal

from upbring.settings.schema import Settings, setting


class EvaluateSettings(Settings):
    """Measure models, each number with its interval."""

    panel: ClassVar[str] = "Evaluation"

    models: tuple[str, ...] = setting(
        min_length=1,
        help="Models to evaluate, the first of them the one before: directories, runs, hub ids, "
        "builtin: names, or the URL of an OpenAI-compatible endpoint, such as "
        "http://localhost:8000/v1#name.",
    )
    suite: tuple[str, ...] = setting(
        (),
        help="Suites, also several with commas: preference, facts, instructions, refusals, "
        "forgetting, memorisation, harness. Unset: those that the data is for.",
    )
    tasks: tuple[str, ...] = setting(
        (),
        help="Tasks of lm-evaluation-harness for the suite harness, also several with commas: "
        "their names, such as arc_easy, or YAML files of your own. Needs upbring[eval].",
    )
    data: tuple[Path, ...] = setting(
        (), help="Files to evaluate on. Unset: the toy world's sets, judged by its own truth."
    )
    to: Path = setting(
        Path("evaluation"),
        help="Folder for results.json and answers.jsonl. Answers that lie there are not asked for "
        "again.",
    )
    judge: str | None = setting(
        None,
        help="Who judges preferences: a reward model, the URL of an endpoint, or people: "
        "votes:FILE is where their votes are, or will be. Unset: the toy world's gold reward on its "
        "own data, else nobody.",
    )
    do_sample: bool = setting(
        default=False,
        help="Draw the answers that are judged for preference at temperature 1, as they are said, "
        "instead of taking the likeliest.",
    )
    limit: int | None = setting(
        None, ge=1, help="Rows of each file to use, evenly spread. Unset: all, the toy world's 100."
    )
    max_tokens: int = setting(256, ge=1, help="Longest answer in tokens.")
    chat_template: Path | None = setting(
        None, help="Jinja file to use as the chat template. Unset: each model's own."
    )
    seed: int = setting(0, ge=0, help="Seed of every draw.")
    dtype: Literal["auto", "float32", "bfloat16"] = setting(
        "auto",
        help="Number format of weights and products. auto takes bfloat16 where the processor "
        "multiplies it natively.",
    )
    device: Literal["auto", "cpu", "cuda"] = setting(
        "auto", help="Where to compute. auto takes a GPU when there is one."
    )
    threads: int | None = setting(
        None, ge=1, help="Processor threads. Unset: one per processor that this process may use."
    )
