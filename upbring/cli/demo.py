"""`upbring demo`: the whole road on the embedded world, by the recipe that `upbring init` writes.

All judgements in it are the embedded world's, and synthetic.
"""

from upbring import durable
from upbring.cli.run import run_recipe
from upbring.errors import InputError
from upbring.pipeline.recipe_templates import recipe_text
from upbring.settings.commands.demo import DemoSettings
from upbring.settings.resolve import Resolved

BASE_MODEL = "builtin:sprout"


def run(resolved: Resolved[DemoSettings]) -> None:
    """Write the recipe and take its road."""
    settings = resolved.settings
    folder, recipe = settings.to, settings.to / "road.yaml"
    text = recipe_text("road", model=BASE_MODEL, folder=folder.as_posix())
    if settings.steps is not None:
        text = text.replace("defaults:\n", f"defaults:\n  steps: {settings.steps}\n")
        text = text.replace("    steps: 24\n", "").replace(
            "  most: 60\n", "  most: 4\n  suite: [facts, refusals]\n"
        )
    if settings.threads is not None:
        text = text.replace("defaults:\n", f"defaults:\n  threads: {settings.threads}\n")
    if folder.exists() and not recipe.is_file():
        raise InputError(f"{folder}: exists already; remove it, or choose another with --to")
    with durable.explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    durable.write_text(recipe, text)
    run_recipe(recipe, folder / "road")
