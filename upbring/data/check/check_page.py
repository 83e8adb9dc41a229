"""The terminal output of `upbring check`: a section per file, an example, and the findings.

It fits in 80 columns. Without color, the tokens with a loss are between « and ».
"""

from collections import Counter
from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from upbring.data.check.check import CheckResult
from upbring.data.check.findings import FindingLevel, format_percent
from upbring.data.check.preview import ExamplePart, PreviewExample, escape_terminal
from upbring.data.check.survey import Survey
from upbring.data.read.detect_format import join_names
from upbring.data.read.plain_text import PIECE_CHARACTERS
from upbring.data.read.records import Comparison, Demonstration, Document, Label, Prompt
from upbring.plurals import format_count
from upbring.terminal import Console

MARKS: dict[FindingLevel, tuple[str, str, str]] = {  # sign, the same in ASCII, style
    "fine": ("✓", "ok", "green"),
    "note": ("·", "-", "dim"),
    "warning": ("!", "!", "bold yellow"),
    "failure": ("✗", "X", "bold red"),
}
_BAR_WIDTH = 28  # characters of the longest bar
_MAX_LISTED = 6
_MAX_EXAMPLES = 3
_PLURALS = {
    Document: "documents",
    Prompt: "prompts",
    Demonstration: "demonstrations",
    Comparison: "comparisons",
    Label: "labeled responses",
}


def print_check(console: Console, result: CheckResult) -> None:
    """Print the result of a check."""
    for survey in result.surveys:
        console.print(Text(escape_terminal(str(survey.path)), "bold", overflow="fold"))
        console.print(Padding(_facts_table(survey), (0, 0, 0, 2), expand=False))
        if survey.num_records:
            console.print(Padding(_length_table(survey), (1, 0, 0, 2), expand=False))
            console.print(Padding(_length_histogram(survey, console), (1, 0, 1, 2), expand=False))
    if result.example is not None:
        _print_example(console, result.example)
    console.print(_findings_table(result, console))
    num_warnings = sum(finding.level == "warning" for finding in result.findings)
    if not any(finding.level == "failure" for finding in result.findings):
        warning_count = format_count(num_warnings, "warning") if num_warnings else "no warnings"
        ending = f"nothing prevents training; {warning_count}"
        console.print(Text(f"\n{ending}", "bold"))


def _facts_table(survey: Survey) -> Table:
    """Return the facts about a file, one per row."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True, min_width=9)
    table.add_column(overflow="fold")
    for name, text in _survey_facts(survey):
        table.add_row(name, Text(text))
    return table


def _survey_facts(survey: Survey) -> Iterator[tuple[str, str]]:
    purpose = " (held out)" if survey.purpose == "held_out" else ""
    yield "format", f"{survey.format.name} → {_PLURALS[survey.kind]}{purpose}"
    if survey.unread:
        yield "", f"fields not read: {escape_terminal(join_names(survey.unread))}"
    yield "rows", _row_counts(survey)
    for reason, count in survey.unused.most_common():
        yield "", f"{count:,} not used: {reason}"
    if survey.turns and survey.kind is not Comparison:
        yield "turns", _format_counts(survey.turns, "dialogue")
    if survey.roles:
        yield "roles", ", ".join(f"{role} {n:,}" for role, n in survey.roles.most_common())
    if survey.labels:
        yield "labels", f"good {survey.labels[True]:,}, bad {survey.labels[False]:,}"
    yield from _ranking_facts(survey)
    yield from _token_facts(survey)


def _ranking_facts(survey: Survey) -> Iterator[tuple[str, str]]:
    counts = survey.rankings
    if counts.sizes:
        yield "responses", _format_counts(counts.sizes, "comparison")
        ties = format_count(counts.num_with_ties, "comparison")
        with_ties = f", {ties} with ties" if counts.num_with_ties else ""
        yield "pairs", f"{counts.num_pairs:,}{with_ties}"
    yield from survey.soft_labels.facts()


def _token_facts(survey: Survey) -> Iterator[tuple[str, str]]:
    if survey.encoder is None or not survey.num_tokens:
        return
    per_token = survey.num_characters / survey.num_tokens
    if survey.kind is Document:
        max_length = survey.encoder.max_length
        yield "pieces", f"{survey.num_pieces:,} of at most {max_length:,} tokens"
    elif survey.num_loss_tokens:
        share = survey.num_loss_tokens / survey.num_tokens
        yield (
            "loss on",
            f"{survey.num_loss_tokens:,} of {survey.num_tokens:,} tokens ({format_percent(share)})",
        )
    in_template = "" if survey.kind is Document else " with the chat template"
    yield (
        "tokens",
        f"{survey.num_tokens:,}{in_template}; {per_token:.1f} characters of text for each",
    )
    is_context = survey.encoder.max_length == survey.encoder.context_length
    source = ", the model's context length" if is_context else ""
    yield "max length", f"{survey.encoder.max_length:,} tokens{source}"
    if survey.kind is not Document:
        template_owner = "the default one" if survey.encoder.chat.is_default else "the model's"
        template = "the file's" if survey.encoder.template is not None else template_owner
        tokenizer = survey.encoder.tokenizer
        stop_texts = [
            tokenizer.decode([stop], with_special_tokens=True)
            for stop in survey.encoder.chat.stop_token_ids
        ]
        yield (
            "template",
            f"{template}; a turn ends with {' or '.join(map(escape_terminal, stop_texts))}",
        )


def _row_counts(survey: Survey) -> str:
    texts = [f"{survey.num_rows:,}"]
    if survey.path.suffix == ".txt" and survey.kind is Document:
        texts = [
            f"{survey.num_rows:,}; a longer text counts once per {PIECE_CHARACTERS:,} characters"
        ]
    if survey.num_malformed:
        texts.append(f"{survey.num_malformed:,} malformed")
    if survey.num_records != survey.num_rows - survey.num_malformed - survey.unused.total():
        texts.append(f"{survey.num_records:,} {_PLURALS[survey.kind]}")
    if survey.num_distinct < survey.num_records and survey.kind is not Document:
        texts.append(format_count(survey.num_distinct, "different prompt"))
    return ", ".join(texts)


def _format_counts(counts: Counter[int], noun: str) -> str:
    """Return the numbers with their counts, or a summary if there are many.

    >>> _format_counts(Counter({2: 7}), "dialogue")
    '2 each'
    >>> _format_counts(Counter({2: 7, 4: 1}), "dialogue")
    '2 in 7 dialogues, 4 in 1'
    """
    if len(counts) == 1:
        return f"{next(iter(counts))} each"
    listed = sorted(counts.items())
    if len(listed) > _MAX_LISTED:
        smallest, largest = listed[0][0], listed[-1][0]
        mean = sum(k * n for k, n in listed) / counts.total()
        return f"{smallest} to {largest}, {mean:.1f} on average"
    (number, count), *others = listed
    return ", ".join(
        [f"{number} in {format_count(count, noun)}", *(f"{k} in {n:,}" for k, n in others)]
    )


def _length_table(survey: Survey) -> Table:
    """Return the length quantiles of each side of the rows."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
    table.add_column(survey.unit, min_width=9, style="dim")
    for name in ("shortest", "median", "90 %", "99 %", "longest", "total"):
        table.add_column(name, justify="right", min_width=8)
    for side, lengths in survey.side_lengths.items():
        if len(lengths):
            numbers = [f"{number:,}" for number in (*lengths.quantiles, lengths.total)]
            table.add_row(side, *numbers)
    return table


def _length_histogram(survey: Survey, console: Console) -> Table:
    """Return a histogram of the lengths of whole rows; rows in yellow bars may be truncated."""
    side, lengths = list(survey.side_lengths.items())[-1]
    max_length = survey.max_tree_length if survey.encoder and survey.kind is not Document else None
    block = "#" if console.options.ascii_only else "█"
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right", style="dim", min_width=9)
    table.add_column(no_wrap=True, min_width=_BAR_WIDTH)
    table.add_column(justify="right")
    table.add_column(justify="right", style="dim")
    table.add_row(survey.unit, Text(side, "dim"), "rows", "")
    highest = max((count for _, _, count in lengths.bins), default=1)
    for first, last, count in lengths.bins:
        size = -(-count * _BAR_WIDTH // highest)
        label = f"{first:,}" if first == last else f"{first:,}–{last:,}"
        share = format_percent(count / len(lengths), 1)
        is_cut = max_length is not None and last > max_length
        bar = Text(block * size, "yellow" if is_cut else "cyan")
        table.add_row(label, bar, f"{count:,}", share)
    return table


def _print_example(console: Console, example: PreviewExample) -> None:
    """Print an example row with the tokens that have a loss highlighted."""
    has_color = console.color_system is not None and not console.no_color
    description = "as the model sees it" if example.is_rendered else "as it is read"
    console.print(_rule(console, f"example, {description}"))
    is_named = not example.is_rendered or len(example.parts) > 1
    for part in example.parts:
        if is_named:
            console.print(Text(part.name, "dim italic"))
        text = _highlight_loss(part, has_color=has_color)
        console.print(Padding(text, (0, 0, 0, 2), expand=False))
    console.print(_rule(console))
    legend = Text(overflow="fold").append(escape_terminal(example.location), "dim")
    if example.highlight_label:
        sign, style = ("green", "green") if has_color else ("«between these»", "")
        legend.append(": ").append(sign, style).append(f" is {example.highlight_label}")
    legend.append(example.note)
    console.print(legend)
    console.print()


def _rule(console: Console, title: str = "") -> Rule:
    character = "-" if console.options.ascii_only else "─"
    return Rule(Text(title, "dim"), align="left", style="dim", characters=character)


def _highlight_loss(part: ExamplePart, *, has_color: bool) -> Text:
    """Return the text of a part; without color, tokens with a loss are between « and »."""
    text = Text(overflow="fold")
    is_open = False
    for run in part.runs:
        if not has_color and run.has_loss != is_open:
            text.append("«" if run.has_loss else "»")
            is_open = run.has_loss
        text.append(run.text, _style(has_loss=run.has_loss, is_special=run.is_special))
    return text.append("»") if is_open else text


def _style(*, has_loss: bool, is_special: bool) -> str:
    if has_loss:
        return "bold green reverse" if is_special else "green"
    return "magenta" if is_special else ""


def _findings_table(result: CheckResult, console: Console) -> RenderableType:
    """Return the findings, each with a mark; the error message lists the locations of failures."""
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, min_width=13)
    table.add_column(overflow="fold")
    for finding in result.findings:
        sign, ascii_sign, style = MARKS[finding.level]
        message = f"{finding.message}; {finding.todo}" if finding.todo else finding.message
        lines: list[RenderableType] = [Text(escape_terminal(message))]
        if finding.level != "failure":
            examples = finding.examples[:_MAX_EXAMPLES]
            lines += [
                Text(escape_terminal(_shorten_location(example, result)), "dim")
                for example in examples
            ]
            num_more = finding.num_hidden + len(finding.examples) - len(examples)
            if num_more:
                lines.append(Text(f"and {num_more:,} more", "dim"))
        mark = ascii_sign if console.options.ascii_only else sign
        table.add_row(Text(mark, style), Text(finding.title), Group(*lines))
    return table


def _shorten_location(example: str, result: CheckResult) -> str:
    """Return a location with the file name only, if all file names differ."""
    paths = {survey.path for survey in result.surveys}
    if len({path.name for path in paths}) == len(paths):
        for path in paths:
            example = example.replace(f"{path}:", f"{path.name}:")
    return example
