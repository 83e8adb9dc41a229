"""`upbring run`: a whole road from one recipe."""

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.tree import Tree

from upbring.cli.evaluate import scorecard
from upbring.errors import GateError
from upbring.pipeline.ask import Asking, told
from upbring.pipeline.finish import judged, measure
from upbring.pipeline.gates import NUMBERS
from upbring.pipeline.live_view import Board
from upbring.pipeline.other_stages import WORKS
from upbring.pipeline.runner import Road, WaitingError
from upbring.pipeline.spec import BASE, POLICIES, Script, read_script
from upbring.report.build import report
from upbring.runs.results import Measured
from upbring.settings.commands.run import RunSettings
from upbring.settings.resolve import Resolved
from upbring.train.progress import has_bars


def run(resolved: Resolved[RunSettings]) -> None:
    """Take the road of a recipe, or show it."""
    settings = resolved.settings
    folder = settings.to or Path("runs") / settings.recipe.stem
    take(settings.recipe, folder, is_dry=settings.dry)


def take(recipe: Path, folder: Path, *, is_dry: bool = False) -> None:
    """Read a recipe, take its stages, evaluate, check the gates, write the report."""
    console = Console(stderr=True)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    script = read_script(recipe)
    board = None if is_dry or not has_bars(console) else Board(script, folder, console=console)
    if board is None:
        console.print(pictured(script, folder))
    if is_dry:
        return
    road = Road(script, folder, WORKS, say, board=board)
    if script.ask:
        road.made = partial(_asked, road, Asking(script.ask, folder))
    try:
        with board or nullcontext():
            road.made(BASE)
            road.take()
            results = measure(road)
        _conclude(road, console, results)
    except WaitingError as waiting:
        say(str(waiting))


def _conclude(road: Road, console: Console, results: Sequence[Measured]) -> None:
    """Show the results, judge and report; a gate that does not pass is an error in the end."""
    script, folder = road.script, road.folder
    if results:
        console.print(scorecard([each for each in results if is_headline(each)], script.models))
        road.say("* judged by the embedded world's own truth; the report has every number")
    verdicts = judged(road, results)
    failed = [each.name for each in verdicts if each.passed is not True]
    road.write(status="gates failed" if failed else "finished")
    written = report([folder], folder)
    lines = [*(each.line for each in verdicts), f"\nreport: {written.html}"]
    if last := next((s for s in reversed(script.steps) if s.verb in POLICIES), None):
        lines.append(f"talk with it: upbring chat {road.place(last.name)}")
    for line in lines:
        road.say(line)
    if failed:
        raise GateError(
            f"{folder}: {len(failed)} of {len(verdicts)} gates did not pass ({', '.join(failed)}); "
            f"see {written.html}"
        )


def is_headline(measured: Measured) -> bool:
    """Whether a number is one that gates may speak of: those are the ones to read first."""
    return any((measured.suite, measured.name) in found for found in NUMBERS.values())


def _asked(road: Road, asking: Asking, name: str) -> None:
    """Ask the road's prompts of a model, and show what it answers."""
    known = asking.known().get(name) if name == BASE else None
    road.say(told(name, known or asking.ask(name, road.model(name), say=road.say)))


def pictured(script: Script, folder: Path) -> Tree:
    """Return the road as a tree: each stage under the last of those that it needs."""
    root = Tree(f"{script.file} → {folder}")
    places = {"": root.add(f"base: {script.model}")}
    for step in script.steps:
        above = places[step.needs[-1]] if step.needs else places[""]
        needs = f" (with {', '.join(step.needs[:-1])})" if len(step.needs) > 1 else ""
        places[step.name] = above.add(f"{step.name}: {step.verb}{needs}")
    if script.evaluate is not None:
        root.add(f"evaluate: {', '.join(script.models)}")
    if script.gates:
        root.add("gates: " + "; ".join(f"{gate.name} {gate.condition}" for gate in script.gates))
    return root
