"""What surveys of files mean for training: a finding for each thing that was looked at."""

import math
from collections.abc import Iterable, Iterator, Sequence

from upbring.data.chat.chat import faults, flaws, imitations
from upbring.data.chat.encode_records import dialogue_of
from upbring.data.check.duplicates import Pair
from upbring.data.check.findings import MOST_EXAMPLES, Finding, Level, Tally, of, percent
from upbring.data.check.kept_texts import Texts
from upbring.data.check.survey import Survey
from upbring.data.read.malformed_rows import MOST_SHOWN
from upbring.data.read.records import Comparison, Demonstration, Document, Label
from upbring.errors import InputError

FEWEST_PAIRS = 2000  # below, reward models hardly beat chance (Gao et al. 2023, arXiv 2210.10760)
MOST_LONGER = 0.6  # share of pairs won by the longer response, from which on it is told
_SURE = 3.0  # standard errors
_KINDS = {
    "KEY": ("secret key", "secret keys"),
    "EMAIL": ("e-mail address", "e-mail addresses"),
    "IBAN": ("IBAN", "IBANs"),
    "CARD": ("card number", "card numbers"),
    "IP": ("IP address", "IP addresses"),
    "PHONE": ("phone number", "phone numbers"),
}


def verdicts(surveys: Sequence[Survey]) -> Iterator[Finding]:
    """Yield a finding for each thing that was looked at, what forbids training first."""
    yield _rows(surveys)
    yield from _columns(surveys)
    if any(survey.encoding for survey in surveys):
        yield from _learned(surveys)
        yield from _ends(surveys)
        yield from _serving(surveys)
    train = [survey for survey in surveys if survey.purpose == "train"]
    held_out = [survey for survey in surveys if survey.purpose == "held_out"]
    if held_out:
        yield from _overlap(held_out[0].questions, train[0].questions)
    yield from _copies(train[0].texts)
    if all(survey.kind is Demonstration for survey in train):
        yield from _asked_again(train[0])
    if any(survey.encoding for survey in surveys):
        yield from _lengths(surveys)
        yield from _spelled(surveys)
    yield from _personal(surveys)
    yield from _comparisons([s for s in train if s.kind is Comparison and s.num_records])


def _rows(surveys: Sequence[Survey]) -> Finding:
    """Return whether the rows are well formed."""
    total, bad = sum(s.num_rows for s in surveys), sum(s.num_bad for s in surveys)
    failed = [survey for survey in surveys if survey.error is not None]
    if failed:
        lines = [line for survey in failed for line in _told_of(survey)]
        found = f"{of(bad, total, 'rows')} are malformed" if bad else "they cannot be read"
        todo = "correct them, or go on without them: --skip-bad rejects.jsonl" if bad else ""
        return Finding("failure", "rows", found, todo, tuple(lines), _num_untold(failed))
    if bad:
        return Finding("warning", "rows", f"{of(bad, total, 'rows')} are malformed, and skipped")
    return Finding("fine", "rows", f"all {total:,} are well formed")


def _told_of(survey: Survey) -> list[str]:
    """Return the lines of a reading's error, without the count that ends them."""
    lines = str(survey.error).splitlines()
    return lines[:-1] if survey.num_bad else lines


def _num_untold(surveys: Sequence[Survey]) -> int:
    return sum(max(0, survey.num_bad - MOST_SHOWN) for survey in surveys)


def _columns(surveys: Sequence[Survey]) -> Iterator[Finding]:
    """Yield which files were read by a column that was guessed to be the prompt."""
    for survey in surveys:
        if survey.is_guessed:
            ((_, column),) = survey.format.columns.items()
            found = f"{survey.path} was read by its column {column} alone"
            todo = f"for demonstrations say --format columns:prompt={column},response=COLUMN"
            yield Finding("note", "columns", found, todo)


def _learned(surveys: Sequence[Survey]) -> Iterator[Finding]:
    """Yield whether every row has something to learn, a stop token in it, and one BOS at most."""
    total = sum(s.num_records for s in surveys)
    refused = _joined(survey.refused for survey in surveys)
    if refused.count:
        yield refused.finding(
            "failure" if surveys[0].skip_bad is None else "warning",
            "learned",
            found=f"{of(refused.count, total, 'rows')} cannot be learned from",
            todo="see each",
        )
    elif any(survey.num_learned for survey in surveys):
        yield Finding("fine", "learned", "every row has tokens that are learned from")
    names = dict.fromkeys(flaw for survey in surveys for flaw in survey.flawed)
    for flaw in names:
        tally = _joined(s.flawed[flaw] for s in surveys if flaw in s.flawed)
        found, _, todo = flaw.rpartition("; ")
        where = of(tally.count, total, "rows")
        yield tally.finding("failure", "tokens", found=f"in {where}, {found}", todo=todo)
    if not names and any(s.num_learned and s.kind is not Document for s in surveys):
        yield Finding(
            "fine", "tokens", "a stop token is learned in every row, and BOS is not twice"
        )


def _ends(surveys: Sequence[Survey]) -> Iterator[Finding]:
    """Yield whether documents end with a token that says so."""
    for survey in surveys:
        if survey.kind is Document and survey.encoding and survey.encoding.tokenizer.eos is None:
            found = "the tokenizer has none, so that texts would flow into one another"
            yield Finding("warning", "end of text", found, "name eos_token in its settings")
            return


def _serving(surveys: Sequence[Survey]) -> Iterator[Finding]:
    """Yield whether training and serving agree, in some rows of each file."""
    found: dict[str, Tally] = {}
    num_tried = 0
    for survey in surveys:
        if survey.encoding is None or survey.kind not in {Demonstration, Label}:
            continue
        chat = survey.encoding.chat
        for record in survey.sample.chosen:
            messages = dialogue_of(record)
            try:
                learned = chat.demonstration(messages, turns="last", key="")
                known = {*flaws(chat, learned), *imitations(chat, messages)}
                new = [fault for fault in faults(chat, messages) if fault not in known]
            except InputError:
                continue  # told among the rows that cannot be learned from
            num_tried += 1
            for fault in new:
                found.setdefault(fault, Tally()).add(str(record.origin))
    for fault, tally in found.items():
        text, _, todo = fault.rpartition("; ")
        where = of(tally.count, num_tried, "rows tried")
        yield tally.finding("failure", "serving", found=f"in {where}, {text}", todo=todo)
    if num_tried and not found:
        yield Finding(
            "fine", "serving", f"training and serving agree in all {num_tried} rows tried"
        )


def _overlap(held_out: Texts, train: Texts) -> Iterator[Finding]:
    """Yield which held-out prompts are trained on."""
    exact, near = held_out.copied_from(train), held_out.nearly_copied_from(train)
    total = len(held_out)
    if exact:
        yield _pairs(
            exact,
            "failure",
            "held-out",
            found=f"{of(len(exact), total, 'held-out prompts')} are in the training data too",
            todo="remove them from one of the two",
            sides=(held_out, train),
        )
    if near:
        yield _pairs(
            near,
            "warning",
            "held-out",
            found=f"{of(len(near), total, 'held-out prompts')} are much like a training prompt",
            todo="look whether these ask the same",
            sides=(held_out, train),
        )
    if not exact and not near:
        yield Finding("fine", "held-out", f"none of {total:,} prompts is in the training data")


def _copies(texts: Texts) -> Iterator[Finding]:
    """Yield which rows stand twice."""
    exact, near = texts.copies(), texts.near_copies()
    if exact:
        yield _pairs(
            exact,
            "warning",
            "copies",
            found=f"{of(len(exact), len(texts), 'rows')} stood before",
            todo="remove them: a copy may be held out while the other is learned",
            sides=(texts, texts),
        )
    searched = len(texts.kept)
    among = f"the first {searched:,} rows" if searched < len(texts) else f"{searched:,} rows"
    if near:
        yield _pairs(
            near,
            "warning",
            "near copies",
            found=f"{len(near):,} of {among} are much like an earlier one",
            todo="look whether they teach anything new",
            sides=(texts, texts),
        )
    if not exact and not near:
        yield Finding("fine", "copies", f"none, nor anything close, among {among}")


def _asked_again(survey: Survey) -> Iterator[Finding]:
    """Yield which prompts stand twice with different answers; for comparisons that is usual."""
    copies = {pair.second for pair in survey.texts.copies()}
    again = [pair for pair in survey.questions.copies() if pair.second not in copies]
    if again:
        yield _pairs(
            again,
            "note",
            "same prompts",
            found=f"{of(len(again), len(survey.questions), 'rows')} answer an earlier row's prompt "
            "otherwise",
            sides=(survey.questions, survey.questions),
        )


def _lengths(surveys: Sequence[Survey]) -> Iterator[Finding]:
    """Yield what max_length would cut."""
    total = sum(s.num_records for s in surveys)
    longest = max(s.encoding.max_length for s in surveys if s.encoding is not None)
    cut = _joined(survey.cut for survey in surveys)
    left_out = _joined(survey.left_out for survey in surveys)
    if cut.count:
        yield cut.finding(
            "warning",
            "length",
            found=f"{of(cut.count, total, 'rows')} would be cut at {longest:,} tokens, and lose "
            "the stop token",
            todo="raise --max-length, or shorten them",
        )
    if left_out.count:
        yield left_out.finding(
            "warning",
            "length",
            found=f"{of(left_out.count, total, 'rows')} would be left out: {longest:,} tokens "
            "leave nothing to learn",
            todo="raise --max-length, or shorten their prompts",
        )
    if not cut.count and not left_out.count and any(s.kind is not Document for s in surveys):
        yield Finding("fine", "length", f"every row has at most {longest:,} tokens")


def _spelled(surveys: Sequence[Survey]) -> Iterator[Finding]:
    """Yield which rows spell control tokens, or imitate a turn of the default template."""
    total = sum(s.num_records for s in surveys)
    control = _joined(survey.control for survey in surveys)
    if control.count:
        yield control.finding(
            "warning",
            "control tokens",
            found=f"{of(control.count, total, 'rows')} spell one in their text, where it is read "
            "as plain text",
            todo="if it was meant as a control token, give messages instead of rendered text",
        )
    for fault in dict.fromkeys(f for survey in surveys for f in survey.imitating):
        tally = _joined(s.imitating[fault] for s in surveys if fault in s.imitating)
        found, _, todo = fault.rpartition("; ")
        where = of(tally.count, total, "rows")
        yield tally.finding("warning", "markers", found=f"in {where}, {found}", todo=todo)


def _personal(surveys: Sequence[Survey]) -> Iterator[Finding]:
    """Yield what is personal, a finding for each kind."""
    kinds = [kind for kind in _KINDS if any(kind in survey.personal for survey in surveys)]
    for kind in kinds:
        tally = _joined(s.personal[kind] for s in surveys if kind in s.personal)
        yield tally.finding(
            "warning",
            "personal data",
            found=f"{tally.count:,} {_KINDS[kind][tally.count > 1]}",
            todo=f"a model may repeat it: write [{kind}] instead (upbring.privacy.detect.scrub)",
        )
    if not kinds:
        yield Finding("fine", "personal data", "no e-mail, phone, card, IBAN, IP address or key")


def _comparisons(surveys: Sequence[Survey]) -> Iterator[Finding]:
    """Yield whether comparisons are many enough, and whether length alone explains them."""
    if not surveys:
        return
    num_pairs = sum(s.rankings.num_pairs for s in surveys)
    if num_pairs < FEWEST_PAIRS:
        yield Finding(
            "warning",
            "comparisons",
            f"{num_pairs:,} pairs; below {FEWEST_PAIRS:,} a reward model hardly beats chance "
            "(Gao et al. 2023)",
            "gather more",
        )
    wins = sum(s.rankings.num_longer_wins for s in surveys)
    decided = wins + sum(s.rankings.num_longer_loses for s in surveys)
    if not decided:
        return
    share = wins / decided
    text = f"the longer response is preferred in {percent(share)} of {decided:,} pairs"
    surprise = abs(share - 0.5) / (0.5 / math.sqrt(decided))
    if max(share, 1 - share) >= MOST_LONGER and surprise >= _SURE:
        todo = "a reward model may learn length instead of quality: balance them"
        yield Finding("warning", "length bias", text, todo)
    else:
        yield Finding("fine", "length bias", text)


def _pairs(
    pairs: Sequence[Pair],
    level: Level,
    title: str,
    *,
    found: str,
    todo: str = "",
    sides: tuple[Texts, Texts],
) -> Finding:
    tally = Tally()
    for pair in pairs:
        sign = "as" if pair.similarity == 1 else f"{percent(pair.similarity)} as"
        places = (pair.first, pair.second)
        later, earlier = reversed(places) if sides[0] is sides[1] else places
        where = sides[0].where(later)
        tally.add(f"{where} {sign} {sides[1].where_too(earlier, where)}")
    return tally.finding(level, title, found=found, todo=todo)


def _joined(tallies: Iterable[Tally]) -> Tally:
    """Return one tally of several files' tallies."""
    joined = Tally()
    for tally in tallies:
        joined.count += tally.count
        joined.examples += tally.examples
    del joined.examples[MOST_EXAMPLES:]
    return joined
