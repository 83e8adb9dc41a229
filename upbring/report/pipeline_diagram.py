"""The road as a picture, in the manner of InstructGPT's figure 2: boxes in columns, and arrows.

Only places are computed here; the page's template draws them.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from upbring.report import texts
from upbring.report.run_data import BASE, Evidence, Stage

WIDTH, HEIGHT, GAP_X, GAP_Y = 194, 116, 62, 40
TOP, MARGIN = 56, 6  # room for arrows that pass above a column, if there are any
MOST_LETTERS = 27

DOES = {
    "pretrain": "learns to continue text",
    "sft": "learns from demonstrations",
    "reward": "learns what people prefer",
    "dpo": "learns from comparisons",
    "ipo": "learns from comparisons",
    "kto": "learns from good and bad",
    "orpo": "learns from comparisons",
    "simpo": "learns from comparisons",
    "ppo": "tries answers, is rewarded",
    "grpo": "tries answers, is rewarded",
    "rloo": "tries answers, is rewarded",
    "nursery": "writes the small world",
    "collect": "collects rankings",
    "evaluate": "measures models",
}
TELLING = ("judge", "reward", "accuracy", "nll")  # the held-out number that a box shows
LABELS = {"reward": "rewards", "judge": "judges", "value": "expects"}


@dataclass(frozen=True, slots=True)
class Box:
    """A stage in its place."""

    name: str
    x: int
    y: int
    lines: tuple[str, ...]
    status: str


@dataclass(frozen=True, slots=True)
class Arrow:
    """From one box to another, with the place of its label."""

    path: str
    label: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Boxes and arrows, and the size of the whole."""

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    width: int
    height: int

    @property
    def told(self) -> str:
        """The picture in words."""
        boxes = (f"{box.name}: {', '.join(box.lines)}" for box in self.boxes)
        return "The road in boxes. " + ". ".join(boxes)


def pipeline(evidence: Evidence) -> Pipeline | None:
    """Return the picture of a road; None where there is no stage."""
    if not evidence.stages:
        return None
    sources = {stage.name: _sources(stage, evidence) for stage in evidence.stages}
    given = {stage.name for stage in evidence.stages if _is_data(stage, sources)}
    sources = {n: {s: t for s, t in own.items() if s not in given} for n, own in sources.items()}
    has_base = any(BASE in each for each in sources.values())
    column = _columns(sources, has_base=has_base)
    has_far = any(_is_far(column, n, source) for n, own in sources.items() for source in own)
    top = TOP if has_far else MARGIN
    boxes, taken = {}, [0] * (max(column.values()) + 1)
    for name in ([BASE] if has_base else []) + list(sources):
        place = column[name]
        x = MARGIN + place * (WIDTH + GAP_X)
        y = top + taken[place] * (HEIGHT + GAP_Y)
        taken[place] += 1
        boxes[name] = _box(name, x, y, evidence, given)
    arrows = [
        _arrow(boxes[source], boxes[name], label, is_far=_is_far(column, name, source))
        for name, own in sources.items()
        for source, label in own.items()
    ]
    width = 2 * MARGIN + len(taken) * (WIDTH + GAP_X) - GAP_X
    height = top + max(taken) * (HEIGHT + GAP_Y) - GAP_Y + MARGIN
    return Pipeline(tuple(boxes.values()), tuple(arrows), width, height)


def _is_far(column: Mapping[str, int], name: str, source: str) -> bool:
    """Whether an arrow skips a column."""
    return column[name] - column[source] > 1


def _is_data(stage: Stage, sources: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether a stage gives rows and needs no model: its name stands in boxes, for fewer arrows."""
    return not stage.is_run and not sources[stage.name]


def _sources(stage: Stage, evidence: Evidence) -> dict[str, str]:
    """Return what a stage begins with, and what for."""
    names = {each.name for each in evidence.stages} - {stage.name}
    found: dict[str, str] = {}
    for key, value in stage.inputs.items():
        if value in names:
            found.setdefault(value, LABELS.get(key.split()[0], ""))
        elif key == "model":
            found.setdefault(BASE, "")
    return found


def _columns(sources: Mapping[str, Mapping[str, str]], *, has_base: bool) -> dict[str, int]:
    """Return how far along the road each stage stands; a circle is cut where it closes."""
    column: dict[str, int] = {BASE: 0} if has_base else {}

    def depth(name: str, above: frozenset[str]) -> int:
        if name not in column:
            inner = above | {name}
            own = [each for each in sources.get(name, {}) if each not in inner]
            column[name] = max((depth(each, inner) + 1 for each in own), default=0)
        return column[name]

    for name in sources:
        depth(name, frozenset())
    return column


def _box(name: str, x: int, y: int, evidence: Evidence, given: Collection[str]) -> Box:
    found = {stage.name: stage for stage in evidence.stages}.get(name)
    if found is None:
        begun = {each for s in evidence.stages if (each := s.inputs.get("model"))}
        models = sorted(begun - {stage.name for stage in evidence.stages})
        return Box(BASE, x, y, tuple(_short(each) for each in [*models, "completes text"]), "given")
    return Box(_short(name), x, y, tuple(map(_short, _lines(found, given))), found.status)


def _lines(stage: Stage, given: Collection[str]) -> list[str]:
    """Return what a box says of its stage, in four lines at most."""
    does = DOES.get(stage.verb, stage.verb)
    rows = sum(file.rows for file in stage.files if file.purpose == "train")
    trained = [record for record in stage.records if record.kind == "train"]
    tokens = sum(record.values.get("tokens", 0.0) for record in trained)
    of = texts.listed(value for value in stage.inputs.values() if value in given)
    rows_of = texts.count_of(rows, "row") + (f" of {of}" if of else "")
    lines = [does, rows_of if rows else ""]
    if trained:
        steps = texts.count_of(trained[-1].step, "step")
        lines.append(f"{steps}, {texts.large(tokens)} tokens")
    return [line for line in (*lines, _telling(stage)) if line]


def _telling(stage: Stage) -> str:
    for name in TELLING:
        seen = stage.values(name, "held_out")
        if len(seen) > 1:
            title = {"nll": "loss"}.get(name, name)
            first, last = (texts.number(seen[place][1]) for place in (0, -1))
            return f"{title} {first} → {last}"
    return ""


def _arrow(source: Box, target: Box, label: str, *, is_far: bool) -> Arrow:
    """Return a curve from box to box; one that skips a column passes above it."""
    if is_far:
        x1, x2 = source.x + WIDTH * 0.7, target.x + WIDTH * 0.3
        top = min(source.y, target.y) - 48
        bend = f"C{x1 + 40:.0f},{top} {x2 - 40:.0f},{top} {x2:.0f},{target.y - 7}"
        return Arrow(f"M{x1:.0f},{source.y} {bend}", label, (x1 + x2) / 2, top + 8)
    x1, x2 = float(source.x + WIDTH), float(target.x - 7)
    y1, y2 = source.y + HEIGHT / 2, target.y + HEIGHT / 2
    middle = (x1 + x2) / 2
    path = f"M{x1:.0f},{y1:.0f} C{middle:.0f},{y1:.0f} {middle:.0f},{y2:.0f} {x2:.0f},{y2:.0f}"
    return Arrow(path, label, middle, (y1 + y2) / 2 - 8)


def _short(text: str) -> str:
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 1] + "…"
