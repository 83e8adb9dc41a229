"""Turn the surveys of data files into findings: what prevents training, warnings, and passes."""

import math
from collections.abc import Iterable, Iterator, Sequence

from upbring.data.chat.chat import dialogue_problems, fake_turn_problems, token_problems
from upbring.data.chat.encode_records import messages_of
from upbring.data.check.duplicates import DuplicatePair
from upbring.data.check.findings import (
    MAX_EXAMPLES,
    CheckFinding,
    ExampleTally,
    FindingLevel,
    format_count,
    format_percent,
)
from upbring.data.check.kept_texts import TextIndex
from upbring.data.check.survey import Survey
from upbring.data.read.malformed_rows import MAX_SHOWN
from upbring.data.read.records import Comparison, Demonstration, Document, Label
from upbring.errors import InputError

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
    yield from _assess_guessed_columns(surveys)
    if any(survey.encoder for survey in surveys):
        yield from _assess_loss_tokens(surveys)
        yield from _assess_end_of_text(surveys)
        yield from _assess_inference(surveys)
    train = [survey for survey in surveys if survey.purpose == "train"]
    held_out = [survey for survey in surveys if survey.purpose == "held_out"]
    if held_out:
        yield from _assess_overlap(held_out[0].prompts, train[0].prompts)
    yield from _assess_copies(train[0].texts)
    if all(survey.kind is Demonstration for survey in train):
        yield from _assess_repeated_prompts(train[0])
    if any(survey.encoder for survey in surveys):
        yield from _assess_lengths(surveys)
        yield from _assess_special_tokens(surveys)
    yield from _assess_personal_data(surveys)
    yield from _assess_comparisons([s for s in train if s.kind is Comparison and s.num_records])


def _assess_rows(surveys: Sequence[Survey]) -> CheckFinding:
    """Return whether all rows are well-formed."""
    total, bad = sum(s.num_rows for s in surveys), sum(s.num_malformed for s in surveys)
    failed = [survey for survey in surveys if survey.error is not None]
    if failed:
        lines = [line for survey in failed for line in _error_lines(survey)]
        message = (
            f"{format_count(bad, total, 'rows')} are malformed"
            if bad
            else "the rows cannot be read"
        )
        todo = "fix them, or skip them: --skip-bad rejects.jsonl" if bad else ""
        return CheckFinding("failure", "rows", message, todo, tuple(lines), _num_not_shown(failed))
    if bad:
        return CheckFinding(
            "warning", "rows", f"{format_count(bad, total, 'rows')} are malformed and are skipped"
        )
    return CheckFinding("fine", "rows", f"all {total:,} rows are well-formed")


def _error_lines(survey: Survey) -> list[str]:
    """Return the lines of a survey's error, without the line that gives the count."""
    lines = str(survey.error).splitlines()
    return lines[:-1] if survey.num_malformed else lines


def _num_not_shown(surveys: Sequence[Survey]) -> int:
    return sum(max(0, survey.num_malformed - MAX_SHOWN) for survey in surveys)


def _assess_guessed_columns(surveys: Sequence[Survey]) -> Iterator[CheckFinding]:
    """Yield a note for each file whose prompt column was guessed."""
    for survey in surveys:
        if survey.is_column_guessed:
            ((_, column),) = survey.format.columns.items()
            message = f"only the column {column} of {survey.path} is read, as the prompt"
            todo = f"for demonstrations use --format columns:prompt={column},response=COLUMN"
            yield CheckFinding("note", "columns", message, todo)


def _assess_loss_tokens(surveys: Sequence[Survey]) -> Iterator[CheckFinding]:
    """Yield whether every row has trained tokens, trains a stop token, and has at most one BOS."""
    total = sum(s.num_records for s in surveys)
    rejected = _merge_tallies(survey.rejected for survey in surveys)
    if rejected.count:
        yield rejected.make_finding(
            "failure" if surveys[0].skip_bad is None else "warning",
            "loss tokens",
            message=f"{format_count(rejected.count, total, 'rows')} cannot be trained on",
            todo="see the reason of each row",
        )
    elif any(survey.num_loss_tokens for survey in surveys):
        yield CheckFinding("fine", "loss tokens", "every row has trained tokens")
    problems = dict.fromkeys(name for survey in surveys for name in survey.token_problem_tallies)
    for problem in problems:
        tally = _merge_tallies(
            s.token_problem_tallies[problem] for s in surveys if problem in s.token_problem_tallies
        )
        message, _, todo = problem.rpartition("; ")
        count_text = format_count(tally.count, total, "rows")
        yield tally.make_finding(
            "failure", "tokens", message=f"in {count_text}, {message}", todo=todo
        )
    if not problems and any(s.num_loss_tokens and s.kind is not Document for s in surveys):
        yield CheckFinding(
            "fine", "tokens", "every row trains a stop token, and none begins with BOS twice"
        )


def _assess_end_of_text(surveys: Sequence[Survey]) -> Iterator[CheckFinding]:
    """Yield a warning if documents cannot end with an EOS token."""
    for survey in surveys:
        if (
            survey.kind is Document
            and survey.encoder
            and survey.encoder.tokenizer.eos_token_id is None
        ):
            message = "the tokenizer has no EOS token, so documents are not separated"
            todo = "set eos_token in its tokenizer_config.json"
            yield CheckFinding("warning", "end of text", message, todo)
            return


def _assess_inference(surveys: Sequence[Survey]) -> Iterator[CheckFinding]:
    """Yield whether training and inference use the same tokens, in a sample of each file."""
    tallies: dict[str, ExampleTally] = {}
    num_checked = 0
    for survey in surveys:
        if survey.encoder is None or survey.kind not in {Demonstration, Label}:
            continue
        chat = survey.encoder.chat
        for record in survey.sample.selected:
            messages = messages_of(record)
            try:
                encoded = chat.encode_demonstration(messages, turns="last", key="")
                known = {*token_problems(chat, encoded), *fake_turn_problems(chat, messages)}
                new = [text for text in dialogue_problems(chat, messages) if text not in known]
            except InputError:
                continue  # counted in survey.rejected
            num_checked += 1
            for problem in new:
                tallies.setdefault(problem, ExampleTally()).add(str(record.origin))
    for problem, tally in tallies.items():
        text, _, todo = problem.rpartition("; ")
        count_text = format_count(tally.count, num_checked, "sampled rows")
        yield tally.make_finding(
            "failure", "inference", message=f"in {count_text}, {text}", todo=todo
        )
    if num_checked and not tallies:
        yield CheckFinding(
            "fine", "inference", f"training and inference agree in all {num_checked} sampled rows"
        )


def _assess_overlap(held_out: TextIndex, train: TextIndex) -> Iterator[CheckFinding]:
    """Yield the held-out prompts that are in the training data, exactly or nearly."""
    exact, near = held_out.find_copies_in(train), held_out.find_near_copies_in(train)
    total = len(held_out)
    if exact:
        yield _pairs_finding(
            exact,
            "failure",
            "held-out",
            message=f"{format_count(len(exact), total, 'held-out prompts')} are also in the "
            "training data",
            todo="remove them from one of the two",
            text_indexes=(held_out, train),
        )
    if near:
        yield _pairs_finding(
            near,
            "warning",
            "held-out",
            message=f"{format_count(len(near), total, 'held-out prompts')} are nearly equal to a "
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
            message=f"{format_count(len(exact), len(texts), 'rows')} repeat an earlier row",
            todo="remove them: one copy may be held out while the other is trained on",
            text_indexes=(texts, texts),
        )
    num_compared = len(texts.texts)
    among = (
        f"the first {num_compared:,} rows"
        if num_compared < len(texts)
        else f"{num_compared:,} rows"
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
    if not exact and not near:
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
            message=f"{format_count(len(repeated), len(survey.prompts), 'rows')} have the prompt "
            "of an earlier row and a different response",
            text_indexes=(survey.prompts, survey.prompts),
        )


def _assess_lengths(surveys: Sequence[Survey]) -> Iterator[CheckFinding]:
    """Yield the rows that max_length would truncate or drop."""
    total = sum(s.num_records for s in surveys)
    max_length = max(s.encoder.max_length for s in surveys if s.encoder is not None)
    truncated = _merge_tallies(survey.truncated for survey in surveys)
    dropped = _merge_tallies(survey.dropped for survey in surveys)
    if truncated.count:
        yield truncated.make_finding(
            "warning",
            "length",
            message=f"{format_count(truncated.count, total, 'rows')} would be truncated at "
            f"{max_length:,} tokens and lose the stop token",
            todo="raise --max-length, or shorten them",
        )
    if dropped.count:
        yield dropped.make_finding(
            "warning",
            "length",
            message=f"{format_count(dropped.count, total, 'rows')} would be dropped: no trained "
            f"token is left within {max_length:,} tokens",
            todo="raise --max-length, or shorten their prompts",
        )
    if not truncated.count and not dropped.count and any(s.kind is not Document for s in surveys):
        yield CheckFinding("fine", "length", f"every row has at most {max_length:,} tokens")


def _assess_special_tokens(surveys: Sequence[Survey]) -> Iterator[CheckFinding]:
    """Yield the rows that contain special-token text, or a turn marker of the default template."""
    total = sum(s.num_records for s in surveys)
    special_tally = _merge_tallies(survey.special_token_rows for survey in surveys)
    if special_tally.count:
        yield special_tally.make_finding(
            "warning",
            "special tokens",
            message=f"{format_count(special_tally.count, total, 'rows')} contain the text of a "
            "special token, which is encoded as plain text",
            todo="if a special token is meant, give messages instead of rendered text",
        )
    for problem in dict.fromkeys(f for survey in surveys for f in survey.fake_turn_tallies):
        tally = _merge_tallies(
            s.fake_turn_tallies[problem] for s in surveys if problem in s.fake_turn_tallies
        )
        message, _, todo = problem.rpartition("; ")
        count_text = format_count(tally.count, total, "rows")
        yield tally.make_finding(
            "warning", "turn markers", message=f"in {count_text}, {message}", todo=todo
        )


def _assess_personal_data(surveys: Sequence[Survey]) -> Iterator[CheckFinding]:
    """Yield a finding for each kind of personal data."""
    kinds = [
        kind
        for kind in _PERSONAL_DATA_NAMES
        if any(kind in survey.personal_data for survey in surveys)
    ]
    for kind in kinds:
        tally = _merge_tallies(s.personal_data[kind] for s in surveys if kind in s.personal_data)
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
            f"{num_pairs:,} pairs; below {MIN_PAIRS:,} a reward model hardly beats chance "
            "(Gao et al. 2023)",
            "collect more",
        )
    wins = sum(s.rankings.num_longer_wins for s in surveys)
    decided = wins + sum(s.rankings.num_longer_loses for s in surveys)
    if not decided:
        return
    share = wins / decided
    text = f"the longer response is preferred in {format_percent(share)} of {decided:,} pairs"
    num_standard_errors = abs(share - 0.5) / (0.5 / math.sqrt(decided))
    if max(share, 1 - share) >= MAX_LONGER_SHARE and num_standard_errors >= _MIN_STANDARD_ERRORS:
        todo = "a reward model may learn length instead of quality: balance the pairs"
        yield CheckFinding("warning", "length bias", text, todo)
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


def _merge_tallies(tallies: Iterable[ExampleTally]) -> ExampleTally:
    """Return the sum of the tallies of several files."""
    merged = ExampleTally()
    for tally in tallies:
        merged.count += tally.count
        merged.examples += tally.examples
    del merged.examples[MAX_EXAMPLES:]
    return merged
