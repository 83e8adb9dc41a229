"""`upbring demo`: the full pipeline on the toy world, with the recipe that `upbring init` writes.

All judgments in it come from the toy world and are synthetic.
"""

import yaml

from upbring import durable
from upbring.errors import InputError
from upbring.pipeline.recipe_templates import recipe_text
from upbring.pipeline.run_recipe import run_recipe
from upbring.settings.commands.demo import DemoSettings
from upbring.settings.resolve import Resolved

BASE_MODEL = "builtin:sprout"
PROMPTS_PER_STEP = 8  # of DPO; sampling answers to more takes longer than the steps
# With --steps, for a quick test.
SHORT_EVALUATION = {"limit": 4, "suite": ["facts", "refusals"]}


def run(resolved: Resolved[DemoSettings]) -> None:
    """Write the recipe and run its pipeline."""
    settings = resolved.settings
    folder, recipe = settings.to, settings.to / "recipe.yaml"
    if folder.exists() and not recipe.is_file():
        raise InputError(f"{folder}: exists already; remove it, or choose another with --to")
    with durable.explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    durable.write_text(recipe, demo_recipe(settings))
    run_recipe(recipe, folder / "pipeline")


def demo_recipe(settings: DemoSettings) -> str:
    """Return the recipe of the demo; with changed settings it has no comments."""
    text = recipe_text("pipeline", model=BASE_MODEL, folder=settings.to.as_posix())
    changes = {
        name: value
        for name, value in (("steps", settings.steps), ("threads", settings.threads))
        if value is not None
    }
    if not changes:
        return text
    recipe = yaml.safe_load(text)
    recipe["defaults"] |= changes
    for stage in recipe["stages"].values():
        for name in changes:
            stage.pop(name, None)  # a stage's own value would win over the defaults
    if "steps" in changes:
        answers = recipe["stages"]["answers"]
        answers["limit"] = min(answers["limit"], 32 + PROMPTS_PER_STEP * changes["steps"])
        recipe["evaluate"] |= SHORT_EVALUATION
        recipe.pop("gates", None)  # so few questions are too few for a gate
    return yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)
