"""Settings of `upbring plan`."""

from upbring.settings.schema import Settings, setting


class PlanSettings(Settings):
    """What a run would take."""

    do: tuple[str, ...] = setting(
        min_length=1,
        help="A command that trains, with its own files and flags: sft chat.jsonl --model ./base; or "
        "a recipe, with --to FOLDER where its road is not in runs/.",
    )
