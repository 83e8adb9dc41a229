"""The live view of a pipeline on a terminal: a tree of stages, with a bar for the running one.

    recipe.yaml → runs/recipe
    └── base: builtin:sprout
        └── ✓ sft: sft  loss 2.412 → 0.931  1 min 20 s
            ├── ▶ reward: reward ━━━━━━━━━╸━━━━━━━━━━ step 12/50  loss 0.61  9 s left
            │   └── ! step 9: kl is 7.1; healthy is at most 5. Raise kl_coef.
            └── · dpo: dpo

Log lines appear above it. Without a terminal there is no live view, only log lines.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import rich.console
from rich.console import ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from upbring.pipeline.recipe import Recipe
from upbring.terminal import Console
from upbring.train.progress import BAR_WIDTH, format_duration, format_number

EVALUATION = "evaluate the models"  # cannot be the name of a stage: those have no spaces
STATE_MARKS = {
    "to do": ("·", ".", "dim"),
    "running": ("▶", ">", "bold cyan"),
    "finished": ("✓", "v", "green"),
    "kept": ("✓", "v", "green"),
    "waiting": ("…", "~", "yellow"),
    "interrupted": ("‖", "|", "yellow"),
    "failed": ("✗", "x", "bold red"),
}
STATE_WORDS = {
    "kept": "finished before",
    "waiting": "waiting for people",
    "interrupted": "interrupted",
    "failed": "failed",
}
FRAMES_PER_SECOND = 4
MIN_TEXT_WIDTH = 12  # characters of text next to a bar
FULL_BAR_COLUMNS = 80  # width of a terminal from which on a bar has its full width


@dataclass
class StageProgress:
    """The state and progress of one stage."""

    label: str
    state: str = "to do"
    started_at: float = 0.0
    seconds: float = 0.0
    step: int = 0
    total_steps: int = 0
    summary: str = ""
    key_metrics: dict[str, tuple[float, float]] = field(default_factory=dict)  # first, last value
    warnings: list[str] = field(default_factory=list)


class LiveView:
    """The stages of a pipeline and their states; used as a `with` block."""

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        *,
        console: Console,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.recipe, self.folder, self.console, self._clock = recipe, folder, console, clock
        self.stages = {
            stage.name: StageProgress(f"{stage.name}: {stage.command}") for stage in recipe.stages
        }
        if recipe.evaluate is not None:
            self.stages[EVALUATION] = StageProgress(
                f"evaluate: {', '.join(recipe.evaluated_models)}"
            )
        self._current = ""  # the running stage
        self._live: Live | None = None

    def __enter__(self) -> Self:
        self._live = Live(self, console=self.console, refresh_per_second=FRAMES_PER_SECOND)
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        live, self._live = self._live, None  # the last frame shows all
        if live is not None:
            live.stop()

    def set_state(self, name: str, state: str) -> None:
        """Set the state of a stage."""
        stage = self.stages[name]
        if state == "running":
            self._current, stage.started_at = name, self._clock()
        elif stage.state == "running":
            stage.seconds = self._clock() - stage.started_at
            self._current = ""
        stage.state = state

    def advance(
        self, step: int, total: int, summary: str, key_metrics: Mapping[str, float]
    ) -> None:
        """Show the step of the running stage and its key metrics."""
        stage = self.stages[self._current]
        stage.step, stage.total_steps, stage.summary = step, total, summary
        for name, value in key_metrics.items():
            stage.key_metrics[name] = (stage.key_metrics.get(name, (value,))[0], value)

    def warn(self, text: str) -> None:
        """Show a warning below the running stage."""
        self.stages[self._current].warnings.append(text)

    @property
    def text_width(self) -> int:
        """How many characters fit next to the bar of the running stage."""
        used_width = 4 * (self._depth(self._current) + 2) + len(self.stages[self._current].label)
        return max(MIN_TEXT_WIDTH, self.console.width - used_width - self._bar_width - 4)

    @property
    def _bar_width(self) -> int:
        return BAR_WIDTH if self.console.width >= FULL_BAR_COLUMNS else BAR_WIDTH // 3

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Stop drawing while worker processes print to the terminal themselves."""
        was_live = self._live is not None
        self.__exit__(None, None, None)
        try:
            yield
        finally:
            if was_live:
                self.__enter__()

    def __rich_console__(
        self, console: rich.console.Console, options: ConsoleOptions
    ) -> RenderResult:
        """Yield the tree; if the terminal is too small, the part around the running stage."""
        lines = console.render_lines(self._tree(ascii_only=options.ascii_only), options, pad=False)
        max_lines = max(3, console.height - 2)
        start = 0
        if self._live is not None and len(lines) > max_lines:
            current_lines = [i for i, line in enumerate(lines) if self._is_current_line(line)]
            current_line = current_lines[0] if current_lines else len(lines) - 1
            start = min(max(0, current_line - max_lines // 2), len(lines) - max_lines)
            lines = lines[start : start + max_lines]
        for line in lines:
            yield from line
            yield Segment.line()

    def _is_current_line(self, line: list[Segment]) -> bool:
        label = self.stages[self._current].label if self._current else "\n"
        return f" {label}" in "".join(segment.text for segment in line)

    def _tree(self, *, ascii_only: bool) -> Tree:
        arrow = "->" if ascii_only else "→"
        root = Tree(Text(f"{self.recipe.file} {arrow} {self.folder}"))
        nodes = {"": root.add(Text(f"base: {self.recipe.model}"))}
        for stage in self.recipe.stages:
            parent = nodes[stage.needs[-1]] if stage.needs else nodes[""]
            nodes[stage.name] = self._add_stage_node(parent, stage.name, ascii_only=ascii_only)
        if EVALUATION in self.stages:
            self._add_stage_node(root, EVALUATION, ascii_only=ascii_only)
        if self.recipe.gates:
            gates = "; ".join(f"{gate.name} {gate.condition}" for gate in self.recipe.gates)
            root.add(Text(f"gates: {gates}", no_wrap=True, overflow="ellipsis"))
        return root

    def _add_stage_node(self, parent: Tree, name: str, *, ascii_only: bool) -> Tree:
        stage = self.stages[name]
        node = parent.add(_render_stage(stage, bar_width=self._bar_width, ascii_only=ascii_only))
        for text in stage.warnings[-1:]:
            earlier_note = f" (and {n} earlier)" if (n := len(stage.warnings) - 1) else ""
            node.add(Text(f"! {text}{earlier_note}", "yellow", no_wrap=True, overflow="ellipsis"))
        return node

    def _depth(self, name: str) -> int:
        needs = {stage.name: stage.needs for stage in self.recipe.stages}
        depth = 1
        while needs.get(name):
            name, depth = needs[name][-1], depth + 1
        return depth


def _render_stage(stage: StageProgress, *, bar_width: int, ascii_only: bool) -> RenderableType:
    """Return the line of a stage: its mark and name, and a bar or its final metrics."""
    mark, ascii_mark, style = STATE_MARKS[stage.state]
    arrow = "->" if ascii_only else "→"
    head = Text.assemble((f"{ascii_mark if ascii_only else mark} ", style), stage.label)
    if stage.state == "running" and stage.total_steps:
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_column(no_wrap=True)
        grid.add_column(width=bar_width)
        grid.add_column(no_wrap=True, overflow="ellipsis")
        bar = ProgressBar(stage.total_steps, stage.step, width=bar_width)
        grid.add_row(head, bar, Text(stage.summary))
        return grid
    parts = [STATE_WORDS.get(stage.state, "")]
    if stage.state != "running":
        parts += [
            f"{n} {format_number(a)} {arrow} {format_number(b)}"
            for n, (a, b) in stage.key_metrics.items()
        ]
        parts.append(format_duration(stage.seconds) if stage.seconds >= 1 else "")
    tail = "  ".join(part for part in parts if part)
    head.append(f"  {tail}" if tail else "")
    head.no_wrap, head.overflow = True, "ellipsis"
    return head
