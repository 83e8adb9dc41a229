"""Settings of `upbring evaluate`: models, suites, data."""

from pathlib import Path
from typing import ClassVar, Literal

from upbring.settings.judge import ServerSettings
from upbring.settings.schema import Settings, setting


class EvaluationSettings(Settings):
    """What is evaluated, on which data, by which judge."""

    panel: ClassVar[str] = "Evaluation"

    models: tuple[str, ...] = setting(
        min_length=1,
        help="Models to evaluate; the first one is the baseline. Directories, runs, hub ids, "
        "builtin: names, or the URL of an OpenAI-compatible endpoint, such as "
        "http://localhost:8000/v1#name.",
    )
    suite: tuple[str, ...] = setting(
        (),
        help="Suites, separated by commas: preference, facts, instructions, refusals, redteam, "
        "forgetting, memorisation, harness, custom. Unset: all suites that the data has rows for, "
        "without redteam.",
    )
    tasks: tuple[str, ...] = setting(
        (),
        help="Tasks of lm-evaluation-harness for the suite harness, separated by commas: names, "
        "such as arc_easy, or your own YAML files. Needs upbring[eval].",
    )
    metric_function: tuple[str, ...] = setting(
        (),
        help="Functions of prompt, response and row for the suite custom, each FILE.py:FUNCTION, "
        "or a rule that reads columns of the row, such as same_number or json_schema.",
    )
    allow_task_code: bool = setting(
        default=False,
        help="Run the Python functions that YAML files in tasks name with !function.",
    )
    data: tuple[Path, ...] = setting(
        (), help="Files to evaluate on. Unset: the evaluation sets of the toy dataset."
    )
    to: Path = setting(
        Path("evaluation"),
        help="Output folder for results.json and answers.jsonl. Responses that are already there "
        "are not generated again.",
    )
    judge: str | None = setting(
        None,
        help="Judge of the preference suite: a reward model, a language model, the URL of an "
        "endpoint, a rule or FILE.py:FUNCTION, or people, with votes:FILE as the file of their "
        "votes, which may not exist yet. Unset: the gold reward for the toy dataset, and no judge "
        "for other data.",
    )
    gold: tuple[Path, ...] = setting(
        (),
        help="Comparisons by people on which the judge is measured first; its figures are shown "
        "beside every number that it gives.",
    )
    do_sample: bool = setting(
        default=False,
        help="Sample the responses of the preference suite at temperature 1 instead of decoding "
        "greedily.",
    )
    attacks: tuple[str, ...] = setting(
        (), help="Families of attacks for the suite redteam, separated by commas. Unset: all."
    )
    attack_tries: int = setting(
        8, ge=1, le=64, help="Tries per harmful request and family in the suite redteam."
    )
    limit: int | None = setting(
        None, ge=1, help="Rows per file, evenly spread. Unset: all rows; 100 for the toy dataset."
    )
    max_tokens: int = setting(256, ge=1, help="Maximum length of a response in tokens.")
    suite_max_tokens: tuple[str, ...] = setting(
        (), help="Another maximum length for a suite, as SUITE=TOKENS, such as refusals=64."
    )
    chat_template: Path | None = setting(
        None, help="Jinja file with the chat template. Unset: each model's own."
    )
    seed: int = setting(0, ge=0, help="Random seed.")
    dtype: Literal["auto", "float32", "bfloat16"] = setting(
        "auto",
        help="Data type of weights and matrix multiplications. auto uses bfloat16 where the "
        "hardware supports it natively.",
    )
    device: Literal["auto", "cpu", "cuda"] = setting(
        "auto", help="Device to run on. auto uses a GPU if there is one."
    )
    quantization: Literal["auto", "none", "nf4", "int8"] = setting(
        "auto",
        help="Store the weights of linear layers in 4 bits (nf4) or 8 bits (int8). auto: as each "
        "model's adapter was trained, else none. Needs upbring[quantization].",
    )
    threads: int | None = setting(
        None, ge=1, help="Number of CPU threads. Unset: one per CPU core that this process may use."
    )


class EvaluateSettings(EvaluationSettings, ServerSettings):
    """Evaluate models; each number has a confidence interval."""
