"""Read human votes on responses from files, and match them to the evaluated responses.

    prompt, responses, ranks [, annotator]                     the format of the ranking page
    prompt, chosen, rejected [, annotator]                     and all other comparison formats
    prompt|question, model_a, model_b, winner [, annotator]    votes that name the models

A vote counts if its prompt is in the eval data and its two texts are current responses of two
evaluated models; a vote that names models counts if both are evaluated. If an annotator voted on a
pair several times, the last vote counts. Each vote without an annotator counts as a separate one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from upbring.data.read import dialogue, files
from upbring.data.read.detect_format import DetectedFormat, detect_format
from upbring.data.read.format_readers import PROMPT_FIELDS, ParsedExample, first_present
from upbring.data.read.records import Comparison, Message, is_synthetic
from upbring.data.read.row_errors import RowError, UnusedError
from upbring.data.read.rows import Fields, read_rows
from upbring.errors import InputError, format_value, nearest
from upbring.evaluate.model_protocol import Dialogue

MODEL_VOTE_FIELDS = frozenset({"model_a", "model_b", "winner"})
RANKS_BY_WINNER = {"model_a": (1.0, 2.0), "model_b": (2.0, 1.0)}
TIE_WINNERS = frozenset({"tie", "both", "bothbad", "tie (bothbad)"})
ANONYMOUS_NAMES = frozenset({"", "anonymous"})  # the ranking page writes "anonymous"


@dataclass(frozen=True, slots=True)
class Vote:
    """One annotator's ranking of responses to a prompt; 1 is best."""

    prompt: Dialogue
    ranks: Mapping[str, float]  # keys: response texts, or model names if has_model_names
    annotator: str
    has_model_names: bool = False


@dataclass(frozen=True, slots=True)
class AttributedAnswer:
    """A response and the model that generated it."""

    model: str
    text: str


@dataclass(frozen=True)
class Votes:
    """All votes in a file or a folder, used as a judge."""

    path: Path
    votes: tuple[Vote, ...]
    is_synthetic: bool = False
    _by_prompt: dict[Dialogue, list[Vote]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for vote in self.votes:
            self._by_prompt.setdefault(_normalize_prompt(vote.prompt), []).append(vote)

    @property
    def name(self) -> str:
        """The name of the judge in reports."""
        kind = "simulated" if self.is_synthetic else "human"
        return f"{kind} votes in {self.path}"

    def preferences(
        self, prompt: Dialogue, first: AttributedAnswer, second: AttributedAnswer
    ) -> dict[str, float]:
        """Return by annotator 1 if `first` is better than `second`, 0 if worse, ½ for a tie."""
        by_annotator: dict[str, float] = {}
        for vote in self._by_prompt.get(_normalize_prompt(prompt), ()):
            first_rank, second_rank = (_rank_of(vote, answer) for answer in (first, second))
            if first_rank is not None and second_rank is not None:
                by_annotator[vote.annotator] = 0.5 + 0.5 * (
                    (first_rank < second_rank) - (first_rank > second_rank)
                )
        return by_annotator

    def count_unmatched(
        self, prompts: Sequence[Dialogue], texts: Mapping[str, Sequence[str]]
    ) -> tuple[int, int]:
        """Return the number of votes on other prompts, and on other responses."""
        texts_by_prompt: dict[Dialogue, set[str]] = {}
        for prompt, *prompt_texts in zip(prompts, *texts.values(), strict=True):
            texts_by_prompt.setdefault(_normalize_prompt(prompt), set()).update(
                _normalize_text(text) for text in prompt_texts
            )
        num_other_prompts = num_other_answers = 0
        for vote in self.votes:
            known_texts = texts_by_prompt.get(_normalize_prompt(vote.prompt))
            if known_texts is None:
                num_other_prompts += 1
            elif not vote.has_model_names and len(known_texts & vote.ranks.keys()) < 2:  # noqa: PLR2004 -- a pair
                num_other_answers += 1
        return num_other_prompts, num_other_answers


def read_votes(path: Path, *, models: Sequence[str]) -> Votes:
    """Return the votes in a file, or in all files of a folder."""
    votes: list[Vote] = []
    for file in _vote_files(path):
        votes += _read_vote_file(file, models)
    if not votes:
        raise InputError(f"{path}: contains no votes; rank the answers and save the file there")
    return Votes(path, tuple(votes), any(is_synthetic(vote.annotator) for vote in votes))


def _vote_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    paths = sorted(p for p in path.iterdir() if files.extension(p) in files.EXTENSIONS)
    if not paths:
        raise InputError(
            f"{path}: contains no vote files; rank the answers and save the file there"
        )
    return paths


def _read_vote_file(path: Path, models: Sequence[str]) -> Iterator[Vote]:
    detected: DetectedFormat | None = None
    for row in read_rows(path):
        try:
            if row.problem is not None:
                raise row.problem
            fields = row.fields
            if row.fields.keys() >= MODEL_VOTE_FIELDS:
                yield _parse_model_vote(fields, models, default_annotator=f"{path}:{row.line}")
                continue
            detected = detected or detect_format(path, Comparison)
            for example in _parse_examples(detected, detected.rename_fields(fields)):
                ranks = dict(
                    zip(map(_normalize_text, example.responses), example.ranks, strict=True)
                )
                annotator = example.annotator or ""
                yield Vote(example.prompt, ranks, _annotator_name(annotator, f"{path}:{row.line}"))
        except RowError as error:
            raise InputError(f"{path}:{row.line}: {error}") from error


def _parse_examples(detected: DetectedFormat, fields: Fields) -> list[ParsedExample]:
    """Return the comparisons in a row; unlike in training, a tie of all responses is kept."""
    assert detected.read_row is not None, "comparisons have fields"
    try:
        return detected.read_row(fields)
    except UnusedError:
        texts = fields.get("responses", fields.get("completions"))
        if not isinstance(texts, list):
            return []  # chosen and rejected are equal
        ranked = {k: v for k, v in fields.items() if k not in {"scores", "labels"}}
        examples = detected.read_row({**ranked, "ranks": [*range(1, len(texts) + 1)]})
        return [replace(case, ranks=(1.0,) * len(case.responses)) for case in examples]


def _parse_model_vote(fields: Fields, models: Sequence[str], *, default_annotator: str) -> Vote:
    """Return the vote in a row that names two models."""
    names = [dialogue.require_text(fields[side], side) for side in ("model_a", "model_b")]
    for side, name in zip(("model_a", "model_b"), names, strict=True):
        if name not in models:
            suggestion = nearest(name, models)
            hint = (
                f"did you mean {suggestion}?" if suggestion else f"use one of {', '.join(models)}"
            )
            raise RowError(side, f"{format_value(name)} is not evaluated", hint)
    if names[0] == names[1]:
        raise RowError(
            "model_b", f"is {format_value(names[1])}, the same as model_a", "name two models"
        )
    winner = str(fields["winner"]).strip().casefold()
    if winner not in RANKS_BY_WINNER and winner not in TIE_WINNERS:
        raise RowError(
            "winner", f"is {format_value(fields['winner'])}", "write model_a, model_b or tie"
        )
    ranks = dict(zip(names, RANKS_BY_WINNER.get(winner, (1.0, 1.0)), strict=True))
    annotator = dialogue.optional_text(fields, "annotator") or dialogue.optional_text(
        fields, "judge"
    )
    return Vote(
        _parse_prompt(fields),
        ranks,
        _annotator_name(annotator or "", default_annotator),
        has_model_names=True,
    )


def _parse_prompt(fields: Fields) -> Dialogue:
    name = first_present(fields, PROMPT_FIELDS) or "prompt"
    value = fields.get(name)
    if isinstance(value, list):
        return dialogue.check_turn_order(dialogue.parse_messages(value, name), name)
    return (Message("user", dialogue.require_text(value, name)),)


def _annotator_name(name: str, default: str) -> str:
    return default if name.strip() in ANONYMOUS_NAMES else name.strip()


def _rank_of(vote: Vote, answer: AttributedAnswer) -> float | None:
    return vote.ranks.get(answer.model if vote.has_model_names else _normalize_text(answer.text))


def _normalize_prompt(prompt: Dialogue) -> Dialogue:
    return tuple(Message(message.role, _normalize_text(message.content)) for message in prompt)


def _normalize_text(text: str) -> str:
    """Strip surrounding white space, because vote files may be trimmed."""
    return text.strip()
