"""When hardening stops, and which round's model is accepted."""

from collections.abc import Sequence
from dataclasses import dataclass

from upbring.settings.commands.harden import HardenSettings

MIN_PROGRESS = 0.1  # of the attack success before a round; with less there is no progress


@dataclass(frozen=True, slots=True)
class RoundNumbers:
    """What was measured after a round; success is None if no family is understood."""

    model: str
    success: float | None  # in all tries, over the trained families
    held_out_success: float | None
    over_refusal: float  # of plain requests
    attacked_over_refusal: float

    @property
    def text(self) -> str:
        """The numbers in one line."""
        shares = (
            ("attack success", self.success),
            ("in held-out families", self.held_out_success),
            ("over-refusal", self.over_refusal),
            ("under attack", self.attacked_over_refusal),
        )
        return ", ".join(
            f"{name} {'not known' if value is None else f'{100 * value:.1f} %'}"
            for name, value in shares
        )


def stop_reason(rounds: Sequence[RoundNumbers], settings: HardenSettings) -> str | None:
    """Return why the loop ends after the last of these rounds (the first is before training)."""
    last, before = rounds[-1], rounds[-2].success if len(rounds) > 1 else None
    if last.success is None:
        return "no trained family is understood, so that nothing can be measured"
    if last.success <= settings.target:
        return f"attack success {100 * last.success:.1f} % is at most the target"
    if len(rounds) > 1 and not is_acceptable(last, rounds[0], settings):
        return "over-refusal rose by more than max_over_refusal"
    if before is not None and last.success > (1 - MIN_PROGRESS) * before:
        return "no progress"
    return "all rounds are done" if len(rounds) > settings.rounds else None


def is_acceptable(after: RoundNumbers, before: RoundNumbers, settings: HardenSettings) -> bool:
    """Whether over-refusal stayed within the limit, on plain and on attacked requests."""
    rises = (
        after.over_refusal - before.over_refusal,
        after.attacked_over_refusal - before.attacked_over_refusal,
    )
    return max(rises) <= settings.max_over_refusal + 1e-9


def choose_round(rounds: Sequence[RoundNumbers], settings: HardenSettings) -> int | None:
    """Return the acceptable round with the lowest attack success.

    0 means that the model before training is as good; None that no round is acceptable.
    """
    trained = [
        (each.success, index)
        for index, each in enumerate(rounds)
        if index and each.success is not None and is_acceptable(each, rounds[0], settings)
    ]
    if not trained:
        return None if len(rounds) > 1 else 0
    best, index = min(trained)
    before = rounds[0].success
    return 0 if before is not None and best >= before else index
