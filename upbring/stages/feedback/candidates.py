"""The responses to compare: sampled ones, and the revision of the first one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

from upbring.data.read.records import Message
from upbring.feedback.principles import Constitution
from upbring.feedback.revise import clean_revision, critique_prompt, revision_prompt
from upbring.judge.wording import format_dialogue
from upbring.maths import counter_rng
from upbring.maths.random_draws import RandomStream
from upbring.settings.constitution import ConstitutionSettings
from upbring.settings.sampling import SampleSettings
from upbring.stages.collection.collect import clean_text, distinct_answers
from upbring.stages.feedback.writers import Writer, WriteRequest


@dataclass(frozen=True, slots=True)
class Revision:
    """One round: the principle, the critique and the new answer."""

    principle: str
    critique: str
    text: str


@dataclass
class Candidates:
    """A prompt with its sampled responses and the rounds of revision of the first one."""

    index: int
    prompt: tuple[Message, ...]
    line: str  # of the prompt's file
    samples: tuple[str, ...]
    revisions: list[Revision] = field(default_factory=list)

    @property
    def current(self) -> str:
        """The newest version of the first response."""
        return self.revisions[-1].text if self.revisions else self.samples[0]

    @property
    def texts(self) -> tuple[str, ...]:
        """The distinct responses, the last revision among them."""
        return distinct_answers([*self.samples, self.current])

    def source(self, text: str) -> str:
        """Return how a response was made: sampled, or revised."""
        return "sampled" if text in distinct_answers(self.samples) else "revised"

    def pairs(self, settings: ConstitutionSettings) -> list[tuple[str, str]]:
        """Return pairs of responses in a random order, at most `pairs_per_prompt`."""
        every = list(combinations(self.texts, 2))
        stream = RandomStream(settings.seed, "pairs", self.index)
        return stream.shuffled(every)[: settings.pairs_per_prompt]


def sample_candidates(
    prompts: Sequence[tuple[tuple[Message, ...], str]],
    settings: ConstitutionSettings,
    writer: Writer,
) -> list[Candidates]:
    """Return the prompts whose model wrote at least one response that is not empty."""
    count = settings.num_responses
    texts = _write(
        writer,
        [prompt for prompt, _ in prompts for _ in range(count)],
        settings,
        keys=[
            (settings.seed, "constitution", *divmod(i, count)) for i in range(len(prompts) * count)
        ],
        label="sampling responses",
    )
    found = []
    for i, (prompt, line) in enumerate(prompts):
        if kept := tuple(text for text in texts[i * count : (i + 1) * count] if text):
            found.append(Candidates(i, prompt, line, kept))
    return found


def revise_candidates(
    candidates: Sequence[Candidates],
    constitution: Constitution,
    settings: ConstitutionSettings,
    writer: Writer,
) -> None:
    """Add the rounds of critique and revision, each with a principle of its own.

    A revision that is empty keeps the answer as it was.
    """
    sampling = settings.model_copy(update={"stop": ()})
    for round_number in range(settings.rounds):
        drawn = [
            constitution.draw(
                format_dialogue(each.prompt),
                *(settings.seed, "revise", each.index, round_number),
                count=1,
            )
            for each in candidates
        ]
        chosen = [
            (each, principles[0])
            for each, principles in zip(candidates, drawn, strict=True)
            if principles
        ]
        label = f"round {round_number + 1} of {settings.rounds}"
        critiques = _write(
            writer,
            [critique_prompt(each.prompt, each.current, p) for each, p in chosen],
            sampling,
            keys=[(settings.seed, "critique", round_number, i) for i in range(len(chosen))],
            label=f"critiques, {label}",
        )
        texts = _write(
            writer,
            [
                revision_prompt(each.prompt, each.current, critique or "None.", p)
                for (each, p), critique in zip(chosen, critiques, strict=True)
            ],
            sampling,
            keys=[(settings.seed, "revision", round_number, i) for i in range(len(chosen))],
            label=f"revisions, {label}",
        )
        for (each, p), critique, text in zip(chosen, critiques, texts, strict=True):
            revised = clean_revision(text) or each.current
            each.revisions.append(Revision(p.id, critique, revised))


def _write(
    writer: Writer,
    prompts: Sequence[tuple[Message, ...]],
    settings: SampleSettings,
    *,
    keys: Sequence[tuple[int | str, ...]],
    label: str,
) -> list[str]:
    request = WriteRequest(prompts, [counter_rng.key(*key) for key in keys], settings, label)
    return [clean_text(each.text) for each in writer.write(request)]
