"""`upbring run`: run a pipeline from a recipe."""

from upbring.pipeline.recipe_folder import default_folder
from upbring.pipeline.run_recipe import run_recipe
from upbring.settings.commands.run import RunSettings
from upbring.settings.resolve import Resolved


def run(resolved: Resolved[RunSettings]) -> None:
    """Run the pipeline of a recipe, or print it."""
    settings = resolved.settings
    folder = settings.to or default_folder(settings.recipe)
    run_recipe(settings.recipe, folder, is_dry_run=settings.dry_run)
