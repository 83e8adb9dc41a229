"""Layout of the pipeline diagram: one box per stage in columns, connected by arrows.

The style follows figure 2 of InstructGPT. The page template draws the boxes and arrows.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from upbring.report import texts
from upbring.report.run_data import BASE, Evidence, ReportedStage

BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y = 194, 116, 88, 40  # a gap has room for a label
TOP_MARGIN, MARGIN = 56, 6  # TOP_MARGIN leaves space for arrows that pass above a column
MAX_LINE_LENGTH = 27

DATA_DESCRIPTIONS = {  # of training stages, by the kind of training data
    "documents": "trains on plain text",
    "demonstrations": "trains on demonstrations",
    "comparisons": "trains on preference pairs",
    "labels": "trains on good/bad labels",
    "prompts": "RL against a reward",
}
COMMAND_DESCRIPTIONS = {  # of other stages, by command
    "toyworld": "writes the toy dataset",
    "collect": "collects rankings",
    "evaluate": "evaluates models",
}
# A box shows the first of these held-out metrics that its stage has.
HEADLINE_METRICS = ("judge", "reward", "accuracy", "nll")
INPUT_LABELS = {"reward_model": "reward model", "judge": "judge"}


@dataclass(frozen=True, slots=True)
class Box:
    """A stage with its position and text lines."""

    name: str
    x: int
    y: int
    lines: tuple[str, ...]
    status: str


@dataclass(frozen=True, slots=True)
class Arrow:
    """An SVG path from one box to another, and the position of its label."""

    path: str
    label: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class PipelineDiagram:
    """All boxes and arrows, and the size of the drawing."""

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    width: int
    height: int

    @property
    def description(self) -> str:
        """The alternative text of the drawing."""
        boxes = (f"{box.name}: {', '.join(box.lines)}" for box in self.boxes)
        return "Pipeline diagram. " + ". ".join(boxes)


def pipeline_diagram(evidence: Evidence) -> PipelineDiagram | None:
    """Return the diagram of a pipeline, or None if there are no stages."""
    if not evidence.stages:
        return None
    sources = {stage.name: _sources(stage, evidence) for stage in evidence.stages}
    data_stages = {stage.name for stage in evidence.stages if _is_data_stage(stage, sources)}
    sources = {
        n: {s: t for s, t in own.items() if s not in data_stages} for n, own in sources.items()
    }
    has_base = any(BASE in each for each in sources.values())
    column = _columns(sources, has_base=has_base)
    has_skipping_arrow = any(
        _skips_column(column, n, source) for n, own in sources.items() for source in own
    )
    top = TOP_MARGIN if has_skipping_arrow else MARGIN
    boxes, boxes_per_column = {}, [0] * (max(column.values()) + 1)
    for name in ([BASE] if has_base else []) + list(sources):
        column_index = column[name]
        x = MARGIN + column_index * (BOX_WIDTH + GAP_X)
        y = top + boxes_per_column[column_index] * (BOX_HEIGHT + GAP_Y)
        boxes_per_column[column_index] += 1
        boxes[name] = _box(name, x, y, evidence, data_stages)
    arrows = [
        _arrow(boxes[source], boxes[name], label, skips_column=_skips_column(column, name, source))
        for name, own in sources.items()
        for source, label in own.items()
    ]
    width = 2 * MARGIN + len(boxes_per_column) * (BOX_WIDTH + GAP_X) - GAP_X
    height = top + max(boxes_per_column) * (BOX_HEIGHT + GAP_Y) - GAP_Y + MARGIN
    return PipelineDiagram(tuple(boxes.values()), tuple(arrows), width, height)


def _skips_column(column: Mapping[str, int], name: str, source: str) -> bool:
    """Whether the arrow from `source` to `name` passes over a column."""
    return column[name] - column[source] > 1


def _is_data_stage(stage: ReportedStage, sources: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether a stage only writes data; the boxes name it instead of drawing an arrow."""
    return not stage.is_training and not sources[stage.name]


def _sources(stage: ReportedStage, evidence: Evidence) -> dict[str, str]:
    """Return the label of the arrow from each stage that this stage takes as input."""
    makes = {each.name: each.makes for each in evidence.stages if each.name != stage.name}
    sources: dict[str, str] = {}
    for key, value in stage.inputs.items():
        if value in makes:
            default = "reward model" if makes[value] == "reward model" else ""
            sources.setdefault(value, INPUT_LABELS.get(key.split()[0], default))
        elif key == "model":
            sources.setdefault(BASE, "")
    return sources


def _columns(sources: Mapping[str, Mapping[str, str]], *, has_base: bool) -> dict[str, int]:
    """Return the column of each stage: one more than its last input. Cycles are broken."""
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


def _box(name: str, x: int, y: int, evidence: Evidence, data_stages: Collection[str]) -> Box:
    matched_stage = {stage.name: stage for stage in evidence.stages}.get(name)
    if matched_stage is None:
        base_models = {each for s in evidence.stages if (each := s.inputs.get("model"))}
        models = sorted(base_models - {stage.name for stage in evidence.stages})
        return Box(
            BASE, x, y, tuple(_truncate(each) for each in [*models, "pretrained model"]), "given"
        )
    return Box(
        _truncate(name),
        x,
        y,
        tuple(map(_truncate, _lines(matched_stage, data_stages))),
        matched_stage.status,
    )


def _lines(stage: ReportedStage, data_stages: Collection[str]) -> list[str]:
    """Return the text of a stage's box, at most four lines."""
    description = _description(stage)
    rows = sum(file.rows for file in stage.files if file.purpose == "train")
    train_records = [record for record in stage.records if record.kind == "train"]
    tokens = sum(record.values.get("tokens", 0.0) for record in train_records)
    data_names = texts.join_names(value for value in stage.inputs.values() if value in data_stages)
    rows_text = texts.count_or_no(rows, "row") + (f" from {data_names}" if data_names else "")
    lines = [description, rows_text if rows else ""]
    if train_records:
        steps = texts.count_or_no(train_records[-1].step, "step")
        lines.append(f"{steps}, {texts.format_large(tokens)} tokens")
    return [line for line in (*lines, _headline_metric(stage)) if line]


def _description(stage: ReportedStage) -> str:
    """Return one line that describes what a stage does."""
    if stage.makes == "reward model":
        return "trains a reward model"
    fallback = COMMAND_DESCRIPTIONS.get(stage.command, stage.command)
    return DATA_DESCRIPTIONS.get(stage.learns_from or "", fallback)


def _headline_metric(stage: ReportedStage) -> str:
    for name in HEADLINE_METRICS:
        series = stage.metric_series(name, "held_out")
        if len(series) > 1:
            title = {"nll": "loss"}.get(name, name)
            first, last = (texts.format_number(series[index][1]) for index in (0, -1))
            return f"{title} {first} → {last}"
    return ""


def _arrow(source: Box, target: Box, label: str, *, skips_column: bool) -> Arrow:
    """Return a curve between two boxes; one that skips a column passes above it."""
    if skips_column:
        x1, x2 = source.x + BOX_WIDTH * 0.7, target.x + BOX_WIDTH * 0.3
        top = min(source.y, target.y) - 48
        bend = f"C{x1 + 40:.0f},{top} {x2 - 40:.0f},{top} {x2:.0f},{target.y - 7}"
        return Arrow(f"M{x1:.0f},{source.y} {bend}", label, (x1 + x2) / 2, top + 8)
    x1, x2 = float(source.x + BOX_WIDTH), float(target.x - 7)
    y1, y2 = source.y + BOX_HEIGHT / 2, target.y + BOX_HEIGHT / 2
    middle = (x1 + x2) / 2
    path = f"M{x1:.0f},{y1:.0f} C{middle:.0f},{y1:.0f} {middle:.0f},{y2:.0f} {x2:.0f},{y2:.0f}"
    return Arrow(path, label, middle, (y1 + y2) / 2 - 8)


def _truncate(text: str) -> str:
    return text if len(text) <= MAX_LINE_LENGTH else text[: MAX_LINE_LENGTH - 1] + "…"
