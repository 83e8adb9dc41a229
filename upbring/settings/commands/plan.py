"""Settings of `upbring plan`."""

from upbring.settings.schema import Settings, setting


class PlanSettings(Settings):
    """Estimate memory, time and disk of a run or a recipe."""

    do: tuple[str, ...] = setting(
        min_length=1,
        help="A training command with its own files and flags, such as sft chat.jsonl --model "
        "./base, or a recipe; add --to FOLDER if the recipe's output is not in runs/.",
    )
