"""Settings of `upbring run`."""

from pathlib import Path

from upbring.settings.schema import Settings, setting


class RunSettings(Settings):
    """Run all stages of a recipe, then evaluate, check the gates and write the report."""

    recipe: Path = setting(help="Recipe to run: a YAML file with `model:` and `stages:`.")
    to: Path | None = setting(
        None,
        help="Output folder. Unset: runs/ and the recipe's name with a hash of its path. Run again "
        "to resume.",
    )
    dry_run: bool = setting(
        default=False, help="Check the recipe and show its stages without running them."
    )
