"""Settings of `upbring run`."""

from pathlib import Path

from upbring.settings.schema import Settings, setting


class RunSettings(Settings):
    """Take all stages of a recipe, then evaluate, check the gates and write the report."""

    recipe: Path = setting(help="Recipe to run: a YAML file with `model:` and `stages:`.")
    to: Path | None = setting(
        None, help="Folder of the road. Unset: runs/ and the recipe's name. Run again, it goes on."
    )
    dry_run: bool = setting(
        default=False, help="Read and check the recipe, show its stages, and do nothing."
    )
