"""Turn the surveys of data files into findings: what prevents training, warnings, and passes."""

import math
from collections.abc import Iterator, Sequence

from upbring.data.check.assess_columns import assess_columns
from upbring.data.check.assess_tokens import assess_tokens, assess_training
from upbring.data.check.duplicates import DuplicatePair
from upbring.data.check.findings import (
    CheckFinding,
    ExampleTally,
    FindingLevel,
    format_percent,
    merge_tallies,
)
from upbring.data.check.kept_texts import TextIndex
from upbring.data.check.survey import Survey
from upbring.data.read.records import Comparison, Demonstration, Document
from upbring.plurals import format_count

MIN_PAIRS = 2000  # with fewer, reward models hardly beat chance (Gao et al. 2023, 2210.10760)
MAX_LONGER_SHARE = 0.6  # share of pairs won by the longer response that gives a warning
_MIN_STANDARD_ERRORS = 3.0  # from a share of one half
_PERSONAL_DATA_NAMES = {
    "KEY": ("secret key", "secret keys"),
    "EMAIL": ("e-mail address", "e-mail addresses"),
    "IBAN": ("IBAN", "IBANs"),
    "CARD": ("card number", "card numbers"),
    "IP": ("IP address", "IP addresses"),
    "PHONE": ("phone number", "phone numbers"),
}


def assess_surveys(surveys: Sequence[Survey]) -> Iterator[CheckFinding]:
    """Yield the findings of all checks, those that can prevent training first."""
    yield _assess_rows(surveys)
    yield from assess_columns(surveys)
    has_tokens = any(survey.encoder for survey in surveys)
    if has_tokens:
        yield from assess_training(surveys)
    train = [survey for survey in surveys if survey.purpose == "train"]
    held_out = [survey for survey in surveys if survey.purpose == "held_out"]
    if held_out:
        yield from _assess_overlap(held_out[0].prompts, train[0].prompts)
    yield from _assess_copies(train[0].texts)
    if all(survey.kind is Demonstration for survey in train):
        yield from _assess_repeated_prompts(train[0])
    if has_tokens:
        yield from assess_tokens(surveys)
    yield from _assess_personal_data(surveys)
    yield from _assess_comparisons([s for s in train if s.kind is Comparison and s.num_records])


def _assess_rows(surveys: Sequence[Survey]) -> CheckFinding:
    """Return whether all rows are well-formed."""
    total, bad = sum(s.num_rows for s in surveys), sum(s.num_malformed for s in surveys)
    failed = [survey for survey in surveys if survey.error is not None]
    if failed:
        lines = [line for survey in failed for line in _error_lines(survey)]
        message = (
            f"{format_count(bad, 'row', total=total, verb='is')} malformed"
            if bad
            else "the rows cannot be read"
        )
        todo = "fix them, or skip them: --skip-bad rejects.jsonl" if bad else ""
        num_not_shown = sum(survey.num_not_shown for survey in failed)
        return CheckFinding("failure", "rows", message, todo, tuple(lines), num_not_shown)
    if bad:
        count_text = format_count(bad, "row", total=total, verb="is")
        return CheckFinding("warning", "rows", f"{count_text} malformed and skipped")
    if total == 1 and surveys[0].kind is not Document:
        return CheckFinding("warning", "rows", "1 row; the checks say little about so few")
    return CheckFinding("fine", "rows", f"all {total:,} rows are well-formed")


def _error_lines(survey: Survey) -> list[str]:
    """Return the lines of a survey's error, without the line that gives the count."""
    lines = str(survey.error).splitlines()
    return lines[:-1] if survey.num_malformed else lines


def _assess_overlap(held_out: TextIndex, train: TextIndex) -> Iterator[CheckFinding]:
    """Yield the held-out prompts that are in the training data, exactly or nearly."""
    exact, near = held_out.find_copies_in(train), held_out.find_near_copies_in(train)
    total = len(held_out)
    if exact:
        yield _pairs_finding(
            exact,
            "failure",
            "held-out",
            message=f"{format_count(len(exact), 'held-out prompt', total=total)} are also in the "
            "training data",
            todo="remove them from one of the two",
            text_indexes=(held_out, train),
        )
    if near:
        yield _pairs_finding(
            near,
            "warning",
            "held-out",
            message=f"{format_count(len(near), 'held-out prompt', total=total)} are nearly equal "
            "to a "
            "training prompt",
            todo="check whether they ask the same question",
            text_indexes=(held_out, train),
        )
    if not exact and not near:
        yield CheckFinding("fine", "held-out", f"none of {total:,} prompts is in the training data")


def _assess_copies(texts: TextIndex) -> Iterator[CheckFinding]:
    """Yield the duplicate and near-duplicate training rows."""
    exact, near = texts.find_copies(), texts.find_near_copies()
    if exact:
        yield _pairs_finding(
            exact,
            "warning",
            "duplicates",
            message=f"{format_count(len(exact), 'row', total=len(texts))} repeat an earlier row",
            todo="remove them: one copy may be held out while the other is trained on",
            text_indexes=(texts, texts),
        )
    num_compared = len(texts.texts)
    among = (
        f"the first {format_count(num_compared, 'row')}"
        if num_compared < len(texts)
        else format_count(num_compared, "row")
    )
    if near:
        yield _pairs_finding(
            near,
            "warning",
            "near duplicates",
            message=f"{len(near):,} of {among} are nearly equal to an earlier row",
            todo="check whether they add anything new",
            text_indexes=(texts, texts),
        )
    if not exact and not near and len(texts) > 1:
        yield CheckFinding("fine", "duplicates", f"no exact or near duplicate among {among}")


def _assess_repeated_prompts(survey: Survey) -> Iterator[CheckFinding]:
    """Yield prompts that occur twice with different responses; in comparisons this is normal."""
    copies = {pair.second for pair in survey.texts.find_copies()}
    repeated = [pair for pair in survey.prompts.find_copies() if pair.second not in copies]
    if repeated:
        yield _pairs_finding(
            repeated,
            "note",
            "same prompts",
            message=f"{format_count(len(repeated), 'row', total=len(survey.prompts))} have the "
            "prompt "
            "of an earlier row and a different response",
            text_indexes=(survey.prompts, survey.prompts),
        )


def _assess_personal_data(surveys: Sequence[Survey]) -> Iterator[CheckFinding]:
    """Yield a finding for each kind of personal data."""
    kinds = [
        kind
        for kind in _PERSONAL_DATA_NAMES
        if any(kind in survey.personal_data for survey in surveys)
    ]
    for kind in kinds:
        tally = merge_tallies(s.personal_data[kind] for s in surveys if kind in s.personal_data)
        yield tally.make_finding(
            "warning",
            "personal data",
            message=f"{tally.count:,} {_PERSONAL_DATA_NAMES[kind][tally.count > 1]}",
            todo=f"a model may repeat it: replace it with [{kind}] (upbring.privacy.detect.scrub)",
        )
    if not kinds:
        yield CheckFinding(
            "fine", "personal data", "no e-mail, phone, card, IBAN, IP address or key"
        )


def _assess_comparisons(surveys: Sequence[Survey]) -> Iterator[CheckFinding]:
    """Yield whether there are enough comparisons, and whether longer responses win too often."""
    if not surveys:
        return
    num_pairs = sum(s.rankings.num_pairs for s in surveys)
    if num_pairs < MIN_PAIRS:
        yield CheckFinding(
            "warning",
            "comparisons",
            f"{format_count(num_pairs, 'pair')}; below {MIN_PAIRS:,} a reward model hardly beats "
            "chance "
            "(Gao et al. 2023)",
            "collect more",
        )
    wins = sum(s.rankings.num_longer_wins for s in surveys)
    decided = wins + sum(s.rankings.num_longer_loses for s in surveys)
    if not decided:
        return
    share = wins / decided
    pairs = format_count(decided, "pair")
    text = f"the longer response is preferred in {format_percent(share)} of {pairs}"
    num_standard_errors = abs(share - 0.5) / (0.5 / math.sqrt(decided))
    if max(share, 1 - share) >= MAX_LONGER_SHARE and num_standard_errors >= _MIN_STANDARD_ERRORS:
        todo = "a reward model may learn length instead of quality: balance the pairs"
        yield CheckFinding("warning", "length bias", text, todo)
    elif max(share, 1 - share) >= MAX_LONGER_SHARE:
        yield CheckFinding("note", "length bias", f"{text}; too few to say if that is chance")
    else:
        yield CheckFinding("fine", "length bias", text)


def _pairs_finding(
    pairs: Sequence[DuplicatePair],
    level: FindingLevel,
    title: str,
    *,
    message: str,
    todo: str = "",
    text_indexes: tuple[TextIndex, TextIndex],
) -> CheckFinding:
    tally = ExampleTally()
    for pair in pairs:
        similarity = (
            "same as" if pair.similarity == 1 else f"{format_percent(pair.similarity)} similar to"
        )
        indices = (pair.first, pair.second)
        later, earlier = reversed(indices) if text_indexes[0] is text_indexes[1] else indices
        later_location = text_indexes[0].location(later)
        earlier_location = text_indexes[1].short_location(earlier, later_location)
        tally.add(f"{later_location} {similarity} {earlier_location}")
    return tally.make_finding(level, title, message=message, todo=todo)
