"""A road while it is taken, on a terminal: its stages as a tree, a bar where one is at work.

    recipe.yaml → runs/recipe
    └── base: builtin:sprout
        └── ✓ sft: sft  loss 2.412 → 0.931  1 min 20 s
            ├── ▶ reward: reward ━━━━━━━━━╸━━━━━━━━━━ step 12/50  loss 0.61  9 s left
            │   └── ! step 9: margin is 7.1, and healthy is at most 5. Take fewer epochs.
            └── · dpo: dpo

What is said meanwhile stands above it. Where there is no terminal nobody makes one: lines are
enough there.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from upbring.pipeline.spec import Script
from upbring.train.progress import BAR_WIDTH, duration, number

EVALUATION = "evaluate the models"  # as no stage is called: names have no spaces
MARKS = {
    "to do": ("·", ".", "dim"),
    "running": ("▶", ">", "bold cyan"),
    "finished": ("✓", "v", "green"),
    "kept": ("✓", "v", "green"),
    "waiting": ("…", "~", "yellow"),
    "interrupted": ("‖", "|", "yellow"),
    "failed": ("✗", "x", "bold red"),
}
WORDS = {
    "kept": "finished before",
    "waiting": "waits for people",
    "interrupted": "interrupted",
    "failed": "failed",
}
PER_SECOND = 4  # frames
LEAST_ROOM = 12  # for what is said beside a bar
WIDE = 80  # characters of a terminal in which a bar has its whole width


@dataclass
class Place:
    """Where one stage stands."""

    label: str
    state: str = "to do"
    began: float = 0.0
    seconds: float = 0.0
    step: int = 0
    total: int = 0
    told: str = ""
    keys: dict[str, tuple[float, float]] = field(default_factory=dict)  # first and last value
    warnings: list[str] = field(default_factory=list)


class Board:
    """The stages of a road and where each stands; used as a `with` block."""

    def __init__(
        self,
        script: Script,
        folder: Path,
        *,
        console: Console,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.script, self.folder, self.console, self._clock = script, folder, console, clock
        self.places = {step.name: Place(f"{step.name}: {step.verb}") for step in script.steps}
        if script.evaluate is not None:
            self.places[EVALUATION] = Place(f"evaluate: {', '.join(script.models)}")
        self._now = ""  # the stage that is at work
        self._live: Live | None = None

    def __enter__(self) -> Self:
        self._live = Live(self, console=self.console, refresh_per_second=PER_SECOND)
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

    def enter(self, name: str, state: str) -> None:
        """Show that a stage is in another state."""
        place = self.places[name]
        if state == "running":
            self._now, place.began = name, self._clock()
        elif place.state == "running":
            place.seconds = self._clock() - place.began
            self._now = ""
        place.state = state

    def advance(self, step: int, total: int, told: str, key: Mapping[str, float]) -> None:
        """Show how far the stage at work is, and its number that matters most."""
        place = self.places[self._now]
        place.step, place.total, place.told = step, total, told
        for name, value in key.items():
            place.keys[name] = (place.keys.get(name, (value,))[0], value)

    def warn(self, text: str) -> None:
        """Show a warning under the stage at work."""
        self.places[self._now].warnings.append(text)

    @property
    def room(self) -> int:
        """How many characters have room beside the bar of the stage at work."""
        used = 4 * (self._depth(self._now) + 2) + len(self.places[self._now].label)
        return max(LEAST_ROOM, self.console.width - used - self._bar_width - 4)

    @property
    def _bar_width(self) -> int:
        return BAR_WIDTH if self.console.width >= WIDE else BAR_WIDTH // 3

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Leave the terminal to others, processes of our own that speak for themselves."""
        is_shown = self._live is not None
        self.__exit__(None, None, None)
        try:
            yield
        finally:
            if is_shown:
                self.__enter__()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the tree; of one that is higher than the terminal, what is around the present."""
        lines = console.render_lines(self._tree(ascii_only=options.ascii_only), options, pad=False)
        room = max(3, console.height - 2)
        start = 0
        if self._live is not None and len(lines) > room:
            places = [i for i, line in enumerate(lines) if self._is_now(line)]
            here = places[0] if places else len(lines) - 1
            start = min(max(0, here - room // 2), len(lines) - room)
            lines = lines[start : start + room]
        for line in lines:
            yield from line
            yield Segment.line()

    def _is_now(self, line: list[Segment]) -> bool:
        label = self.places[self._now].label if self._now else "\n"
        return f" {label}" in "".join(segment.text for segment in line)

    def _tree(self, *, ascii_only: bool) -> Tree:
        arrow = "->" if ascii_only else "→"
        root = Tree(Text(f"{self.script.file} {arrow} {self.folder}"))
        nodes = {"": root.add(Text(f"base: {self.script.model}"))}
        for step in self.script.steps:
            above = nodes[step.needs[-1]] if step.needs else nodes[""]
            nodes[step.name] = self._hang(above, step.name, ascii_only=ascii_only)
        if EVALUATION in self.places:
            self._hang(root, EVALUATION, ascii_only=ascii_only)
        if self.script.gates:
            gates = "; ".join(f"{gate.name} {gate.condition}" for gate in self.script.gates)
            root.add(Text(f"gates: {gates}", no_wrap=True, overflow="ellipsis"))
        return root

    def _hang(self, above: Tree, name: str, *, ascii_only: bool) -> Tree:
        place = self.places[name]
        node = above.add(_row(place, bar_width=self._bar_width, ascii_only=ascii_only))
        for text in place.warnings[-1:]:
            more = f" (and {n} before)" if (n := len(place.warnings) - 1) else ""
            node.add(Text(f"! {text}{more}", "yellow", no_wrap=True, overflow="ellipsis"))
        return node

    def _depth(self, name: str) -> int:
        needs = {step.name: step.needs for step in self.script.steps}
        depth = 1
        while needs.get(name):
            name, depth = needs[name][-1], depth + 1
        return depth


def _row(place: Place, *, bar_width: int, ascii_only: bool) -> RenderableType:
    """Return a stage in a line: its mark and name, and a bar, or how it ended."""
    mark, plain, style = MARKS[place.state]
    arrow = "->" if ascii_only else "→"
    head = Text.assemble((f"{plain if ascii_only else mark} ", style), place.label)
    if place.state == "running" and place.total:
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_column(no_wrap=True)
        grid.add_column(width=bar_width)
        grid.add_column(no_wrap=True, overflow="ellipsis")
        bar = ProgressBar(place.total, place.step, width=bar_width)
        grid.add_row(head, bar, Text(place.told))
        return grid
    parts = [WORDS.get(place.state, "")]
    if place.state != "running":
        parts += [f"{n} {number(a)} {arrow} {number(b)}" for n, (a, b) in place.keys.items()]
        parts.append(duration(place.seconds) if place.seconds >= 1 else "")
    tail = "  ".join(part for part in parts if part)
    head.append(f"  {tail}" if tail else "")
    head.no_wrap, head.overflow = True, "ellipsis"
    return head
