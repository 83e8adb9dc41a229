"""How a check looks in a terminal: a section per file, an example, and what was found.

It reads at 80 columns and without colour: there, what is learned stands between « and ».
"""

from collections import Counter
from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from upbring.data.check.check import Checked
from upbring.data.check.findings import Level, percent
from upbring.data.check.preview import Example, Part, visible
from upbring.data.check.survey import Survey
from upbring.data.read.plain_text import PIECE
from upbring.data.read.records import Comparison, Demonstration, Document, Label, Prompt

MARKS: dict[Level, tuple[str, str, str]] = {  # sign, the same in ASCII, style
    "fine": ("✓", "ok", "green"),
    "note": ("·", "-", "dim"),
    "warning": ("!", "!", "bold yellow"),
    "failure": ("✗", "X", "bold red"),
}
_BAR = 28  # characters of the longest bar
_MOST_LISTED = 6
_MOST_EXAMPLES = 3
_PLURALS = {
    Document: "documents",
    Prompt: "prompts",
    Demonstration: "demonstrations",
    Comparison: "comparisons",
    Label: "labels",
}


def show(console: Console, checked: Checked) -> None:
    """Print all that a check found."""
    for survey in checked.surveys:
        console.print(Text(visible(str(survey.path)), "bold", overflow="fold"))
        console.print(Padding(_facts(survey), (0, 0, 0, 2), expand=False))
        if survey.num_records:
            console.print(Padding(_quantiles(survey), (1, 0, 0, 2), expand=False))
            console.print(Padding(_histogram(survey, console), (1, 0, 1, 2), expand=False))
    if checked.example is not None:
        _show_example(console, checked.example)
    console.print(_found(checked, console))
    num_warnings = sum(finding.level == "warning" for finding in checked.findings)
    if not any(finding.level == "failure" for finding in checked.findings):
        warned = f"{num_warnings} warning{'s' if num_warnings != 1 else ''}"
        ending = f"nothing forbids training; {warned if num_warnings else 'no warnings'}"
        console.print(Text(f"\n{ending}", "bold"))


def _facts(survey: Survey) -> Table:
    """Return what a file is, a line each."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True, min_width=9)
    table.add_column(overflow="fold")
    for name, text in _facts_of(survey):
        table.add_row(name, Text(text))
    return table


def _facts_of(survey: Survey) -> Iterator[tuple[str, str]]:
    purpose = " (held out)" if survey.purpose == "held_out" else ""
    yield "format", f"{survey.format.name} → {_PLURALS[survey.kind]}{purpose}"
    if survey.format.unread:
        yield "", f"fields not read: {visible(', '.join(survey.format.unread))}"
    yield "rows", _rows(survey)
    for reason, count in survey.unused.most_common():
        yield "", f"{count:,} not used: {reason}"
    if survey.turns and survey.kind is not Comparison:
        yield "turns", _counted(survey.turns, "dialogues")
    if survey.roles:
        yield "roles", ", ".join(f"{role} {n:,}" for role, n in survey.roles.most_common())
    if survey.labels:
        yield "labels", f"good {survey.labels[True]:,}, bad {survey.labels[False]:,}"
    yield from _ranking_facts(survey)
    yield from _token_facts(survey)


def _ranking_facts(survey: Survey) -> Iterator[tuple[str, str]]:
    found = survey.rankings
    if found.sizes:
        yield "responses", _counted(found.sizes, "comparisons")
        ties = f", {found.num_with_ties:,} comparisons with ties" if found.num_with_ties else ""
        yield "pairs", f"{found.num_pairs:,}{ties}"


def _token_facts(survey: Survey) -> Iterator[tuple[str, str]]:
    if survey.encoding is None or not survey.num_tokens:
        return
    per_token = survey.num_characters / survey.num_tokens
    if survey.kind is Document:
        longest = survey.encoding.max_length
        yield "pieces", f"{survey.num_pieces:,} of at most {longest:,} tokens"
    elif survey.num_learned:
        share = survey.num_learned / survey.num_tokens
        yield (
            "learned",
            f"{survey.num_learned:,} of {survey.num_tokens:,} tokens ({percent(share)})",
        )
    yield "tokens", f"{per_token:.1f} characters in each, on average"
    if survey.kind is not Document:
        named = "the default one" if survey.encoding.chat.is_default else "the model's"
        template = "the file's" if survey.encoding.template is not None else named
        tokenizer = survey.encoding.tokenizer
        stops = [
            tokenizer.decode([stop], with_specials=True) for stop in survey.encoding.chat.stops
        ]
        yield "template", f"{template}; a turn ends with {' or '.join(map(visible, stops))}"


def _rows(survey: Survey) -> str:
    texts = [f"{survey.num_rows:,}"]
    if survey.path.suffix == ".txt" and survey.kind is Document:
        texts = [f"{survey.num_rows:,}; a longer text counts once for each {PIECE:,} characters"]
    if survey.num_bad:
        texts.append(f"{survey.num_bad:,} malformed")
    if survey.num_records != survey.num_rows - survey.num_bad - survey.unused.total():
        texts.append(f"{survey.num_records:,} {_PLURALS[survey.kind]}")
    if survey.num_distinct < survey.num_records and survey.kind is not Document:
        texts.append(f"{survey.num_distinct:,} different prompts")
    return ", ".join(texts)


def _counted(counts: Counter[int], what: str) -> str:
    """Return the commonest numbers and how often each is there.

    >>> _counted(Counter({2: 7}), "dialogues"), _counted(Counter({2: 7, 4: 1}), "dialogues")
    ('2 each', '2 in 7 dialogues, 4 in 1')
    """
    if len(counts) == 1:
        return f"{next(iter(counts))} each"
    listed = sorted(counts.items())
    if len(listed) > _MOST_LISTED:
        least, most = listed[0][0], listed[-1][0]
        mean = sum(k * n for k, n in listed) / counts.total()
        return f"{least} to {most}, {mean:.1f} on average"
    (number, count), *others = listed
    return ", ".join([f"{number} in {count:,} {what}", *(f"{k} in {n:,}" for k, n in others)])


def _quantiles(survey: Survey) -> Table:
    """Return how long each side of the rows is."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
    table.add_column(survey.unit, min_width=9, style="dim")
    for name in ("shortest", "median", "90 %", "99 %", "longest", "total"):
        table.add_column(name, justify="right", min_width=8)
    for side, lengths in survey.sides.items():
        if len(lengths):
            numbers = [f"{number:,}" for number in (*lengths.quantiles, lengths.total)]
            table.add_row(side, *numbers)
    return table


def _histogram(survey: Survey, console: Console) -> Table:
    """Return how often which length is there, of the last side: the whole. Yellow may be cut."""
    side, lengths = list(survey.sides.items())[-1]
    longest = (
        survey.encoding.max_length if survey.encoding and survey.kind is not Document else None
    )
    block = "#" if console.options.ascii_only else "█"
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right", style="dim", min_width=9)
    table.add_column(no_wrap=True, min_width=_BAR)
    table.add_column(justify="right")
    table.add_column(justify="right", style="dim")
    table.add_row(survey.unit, Text(side, "dim"), "rows", "")
    highest = max((count for _, _, count in lengths.bins), default=1)
    for first, last, count in lengths.bins:
        size = -(-count * _BAR // highest)
        told = f"{first:,}" if first == last else f"{first:,}–{last:,}"
        share = percent(count / len(lengths), 1)
        is_cut = longest is not None and last > longest
        bar = Text(block * size, "yellow" if is_cut else "cyan")
        table.add_row(told, bar, f"{count:,}", share)
    return table


def _show_example(console: Console, example: Example) -> None:
    """Print a row, what is learned of it marked."""
    is_coloured = console.color_system is not None and not console.no_color
    how = "as the model sees it" if example.is_rendered else "as it is read"
    console.print(_line(console, f"example, {how}"))
    is_named = not example.is_rendered or len(example.parts) > 1
    for part in example.parts:
        if is_named:
            console.print(Text(part.name, "dim italic"))
        marked = _marked(part, is_coloured=is_coloured)
        console.print(Padding(marked, (0, 0, 0, 2), expand=False))
    console.print(_line(console))
    legend = Text(overflow="fold").append(visible(example.where), "dim")
    if example.use:
        sign, style = ("green", "green") if is_coloured else ("«between these»", "")
        legend.append(": ").append(sign, style).append(f" is {example.use}")
    console.print(legend)
    console.print()


def _line(console: Console, title: str = "") -> Rule:
    character = "-" if console.options.ascii_only else "─"
    return Rule(Text(title, "dim"), align="left", style="dim", characters=character)


def _marked(part: Part, *, is_coloured: bool) -> Text:
    """Return the text of a part, what is learned between « and » where there is no colour."""
    text = Text(overflow="fold")
    is_open = False
    for run in part.runs:
        if not is_coloured and run.is_learned != is_open:
            text.append("«" if run.is_learned else "»")
            is_open = run.is_learned
        text.append(run.text, _style(is_learned=run.is_learned, is_control=run.is_control))
    return text.append("»") if is_open else text


def _style(*, is_learned: bool, is_control: bool) -> str:
    if is_learned:
        return "bold green reverse" if is_control else "green"
    return "magenta" if is_control else ""


def _found(checked: Checked, console: Console) -> RenderableType:
    """Return what was found, a mark before each; places of failures are told by the error."""
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, min_width=13)
    table.add_column(overflow="fold")
    for finding in checked.findings:
        sign, plain, style = MARKS[finding.level]
        said = f"{finding.found}; {finding.todo}" if finding.todo else finding.found
        lines: list[RenderableType] = [Text(visible(said))]
        if finding.level != "failure":
            examples = finding.examples[:_MOST_EXAMPLES]
            lines += [Text(visible(_short(example, checked)), "dim") for example in examples]
            num_more = finding.num_more + len(finding.examples) - len(examples)
            if num_more:
                lines.append(Text(f"and {num_more:,} more", "dim"))
        mark = plain if console.options.ascii_only else sign
        table.add_row(Text(mark, style), Text(finding.title), Group(*lines))
    return table


def _short(example: str, checked: Checked) -> str:
    """Return a place by the name of its file alone, if no two files have the same name."""
    paths = {survey.path for survey in checked.surveys}
    if len({path.name for path in paths}) == len(paths):
        for path in paths:
            example = example.replace(f"{path}:", f"{path.name}:")
    return example
