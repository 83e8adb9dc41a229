"""People's votes on answers, read from the files that they saved, and matched to what models said.

    prompt, responses, ranks [, annotator]                     what the ranking page saves
    prompt, chosen, rejected [, annotator]                     and every format of comparisons
    prompt|question, model_a, model_b, winner [, annotator]    votes that name the models

A vote counts where its prompt was asked and its two answers are what two models say now; one that
names models counts where both are evaluated. Of one annotator's votes on a pair the last counts.
Votes without a name are each somebody's own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from upbring.data.read import dialogue, files
from upbring.data.read.detect_format import Recognised, recognise
from upbring.data.read.format_readers import PROMPTS, Case, present
from upbring.data.read.records import Comparison, Message, is_synthetic
from upbring.data.read.row_errors import RowError, UnusedError
from upbring.data.read.rows import Fields, rows
from upbring.errors import InputError, nearest, shown
from upbring.evaluate.model_protocol import Dialogue

NAMED = frozenset({"model_a", "model_b", "winner"})
RESULTS = {"model_a": (1.0, 2.0), "model_b": (2.0, 1.0)}
TIES = frozenset({"tie", "both", "bothbad", "tie (bothbad)"})
NOBODY = frozenset({"", "anonymous"})  # the page writes the latter


@dataclass(frozen=True, slots=True)
class Vote:
    """What one annotator said of a prompt's answers: ranks by text, or by model; 1 is best."""

    prompt: Dialogue
    ranks: Mapping[str, float]
    annotator: str
    has_names: bool = False  # of models


@dataclass(frozen=True, slots=True)
class Told:
    """An answer, and the model that gave it."""

    model: str
    text: str


@dataclass(frozen=True)
class Votes:
    """All votes of a file or a folder, as a judge."""

    path: Path
    given: tuple[Vote, ...]
    is_synthetic: bool = False
    _of: dict[Dialogue, list[Vote]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for vote in self.given:
            self._of.setdefault(_key(vote.prompt), []).append(vote)

    @property
    def name(self) -> str:
        """Who judges, for people."""
        who = "simulated" if self.is_synthetic else "people's"
        return f"{who} votes in {self.path}"

    def on(self, prompt: Dialogue, one: Told, other: Told) -> dict[str, float]:
        """Return by annotator whether `one` is better than `other`: 1, 0, or ½ for a tie."""
        found: dict[str, float] = {}
        for vote in self._of.get(_key(prompt), ()):
            mine, theirs = (_rank(vote, told) for told in (one, other))
            if mine is not None and theirs is not None:
                found[vote.annotator] = 0.5 + 0.5 * ((mine < theirs) - (mine > theirs))
        return found

    def strangers(
        self, prompts: Sequence[Dialogue], texts: Mapping[str, Sequence[str]]
    ) -> tuple[int, int]:
        """Return how many votes are about other prompts, and how many about other answers."""
        said: dict[Dialogue, set[str]] = {}
        for prompt, *own in zip(prompts, *texts.values(), strict=True):
            said.setdefault(_key(prompt), set()).update(_plain(text) for text in own)
        others = unsaid = 0
        for vote in self.given:
            known = said.get(_key(vote.prompt))
            if known is None:
                others += 1
            elif not vote.has_names and len(known & vote.ranks.keys()) < 2:  # noqa: PLR2004 -- a pair
                unsaid += 1
        return others, unsaid


def read_votes(path: Path, *, models: Sequence[str]) -> Votes:
    """Return the votes of a file, or of all files of a folder."""
    found: list[Vote] = []
    for each in _files(path):
        found += _of_file(each, models)
    if not found:
        raise InputError(f"{path}: holds no vote; rank the answers, and save the file there")
    return Votes(path, tuple(found), any(is_synthetic(vote.annotator) for vote in found))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(p for p in path.iterdir() if files.extension(p) in files.EXTENSIONS)
    if not found:
        raise InputError(f"{path}: holds no file of votes; save what was ranked there")
    return found


def _of_file(path: Path, models: Sequence[str]) -> Iterator[Vote]:
    recognised: Recognised | None = None
    for row in rows(path):
        try:
            if row.problem is not None:
                raise row.problem
            fields = row.fields
            if row.fields.keys() >= NAMED:
                yield _named(fields, models, nobody=f"{path}:{row.line}")
                continue
            recognised = recognised or recognise(path, Comparison)
            for case in _cases(recognised, recognised.fields(fields)):
                ranks = dict(zip(map(_plain, case.responses), case.ranks, strict=True))
                who = case.annotator or ""
                yield Vote(case.prompt, ranks, _who(who, f"{path}:{row.line}"))
        except RowError as error:
            raise InputError(f"{path}:{row.line}: {error}") from error


def _cases(recognised: Recognised, fields: Fields) -> list[Case]:
    """Return a row's comparisons; answers that are all as good are a vote, too."""
    assert recognised.read is not None, "comparisons have fields"
    try:
        return recognised.read(fields)
    except UnusedError:
        texts = fields.get("responses", fields.get("completions"))
        if not isinstance(texts, list):
            return []  # chosen and rejected are the same text
        ranked = {k: v for k, v in fields.items() if k not in {"scores", "labels"}}
        found = recognised.read({**ranked, "ranks": [*range(1, len(texts) + 1)]})
        return [replace(case, ranks=(1.0,) * len(case.responses)) for case in found]


def _named(fields: Fields, models: Sequence[str], *, nobody: str) -> Vote:
    """Return a vote that names its two models."""
    names = [dialogue.text_of(fields[side], side) for side in ("model_a", "model_b")]
    for side, name in zip(("model_a", "model_b"), names, strict=True):
        if name not in models:
            near = nearest(name, models)
            todo = f"did you mean {near}?" if near else f"there are {', '.join(models)}"
            raise RowError(side, f"{shown(name)} is not evaluated", todo)
    if names[0] == names[1]:
        raise RowError("model_b", f"is {shown(names[1])}, as model_a is", "name two models")
    winner = str(fields["winner"]).strip().casefold()
    if winner not in RESULTS and winner not in TIES:
        raise RowError("winner", f"is {shown(fields['winner'])}", "write model_a, model_b or tie")
    ranks = dict(zip(names, RESULTS.get(winner, (1.0, 1.0)), strict=True))
    who = dialogue.optional_text(fields, "annotator") or dialogue.optional_text(fields, "judge")
    return Vote(_prompt(fields), ranks, _who(who or "", nobody), has_names=True)


def _prompt(fields: Fields) -> Dialogue:
    name = present(fields, PROMPTS) or "prompt"
    value = fields.get(name)
    if isinstance(value, list):
        return dialogue.check_order(dialogue.turns(value, name), name)
    return (Message("user", dialogue.text_of(value, name)),)


def _who(name: str, nobody: str) -> str:
    return nobody if name.strip() in NOBODY else name.strip()


def _rank(vote: Vote, told: Told) -> float | None:
    return vote.ranks.get(told.model if vote.has_names else _plain(told.text))


def _key(prompt: Dialogue) -> Dialogue:
    return tuple(Message(message.role, _plain(message.content)) for message in prompt)


def _plain(text: str) -> str:
    """Return a text as it is compared: files that people save may trim it."""
    return text.strip()
